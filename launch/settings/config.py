"""The settings of a run, each defined once: a field here is a flag of ``esengine train`` and a key
of ``config.json``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.goals.curriculum import GoalSettings
from esengine.algorithms.novelty import NoveltySettings
from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.algorithms.strategy import (
    AdaptsToNoise,
    AllowsLag,
    EndsByFitness,
    Settings,
    SettingsInSpace,
    Strategy,
    UsesBudget,
)
from esengine.checks import belong_to, flag_name, is_default, named_values
from esengine.errors import UserError, counted
from esengine.launch.settings.groups import (
    BudgetSettings,
    EpisodeSettings,
    EvaluationSettings,
    InitialPolicySettings,
    PolicySettings,
    RewardSettings,
    RunSettings,
    StartSettings,
    TaskSettings,
)
from esengine.launch.settings.members import MemberSettings
from esengine.launch.settings.methods import Family, defaults_of, family_of, settings_of
from esengine.launch.settings.programs import ProgramSettings, whole_command
from esengine.launch.settings.search_space import SpaceSettings
from esengine.launch.settings.settings_values import recorded_settings, settings_from
from esengine.pool import FaultRules
from esengine.problems.search_space import SearchSpace
from esengine.user_code import PROGRAM, TEAM, modules_of

T = TypeVar("T")

GROUPS: dict[str, type[Any]] = {
    "task": TaskSettings,
    "budget": BudgetSettings,
    "run": RunSettings,
    "start": StartSettings,
    "policy": PolicySettings,
    "initial_policy": InitialPolicySettings,
    "episode": EpisodeSettings,
    "reward": RewardSettings,
    "evaluation": EvaluationSettings,
    "novelty_search": NoveltySettings,
    "goal_curriculum": GoalSettings,
    "objective_space": SpaceSettings,
    "member": MemberSettings,
    "program": ProgramSettings,
    "fault_tolerance": FaultRules,
}
"""The groups of `TrainSettings` by what ``--help`` calls them, in its order."""


@dataclass(frozen=True)
class TrainSettings(
    FaultRules,
    ProgramSettings,
    MemberSettings,
    SpaceSettings,
    GoalSettings,
    NoveltySettings,
    EvaluationSettings,
    RewardSettings,
    EpisodeSettings,
    InitialPolicySettings,
    PolicySettings,
    StartSettings,
    RunSettings,
    BudgetSettings,
    TaskSettings,
):
    """The settings that all methods share; the fields of the last base class come first."""

    def check(self) -> None:
        """Raises UserError for values that no run can have."""
        for group in GROUPS.values():
            group.check(self)

        if self.env_id is None:
            self._check_objective()
        else:
            self._check_environment()

        if self.reward is not None or self.potential is not None:
            given = "--potential" if self.reward is None else "--reward"
            owner = "the environment's own reward"
            belong_to(self, owner, given, "survival_bonus", "novelty", "episode_cap")

        if self.lag:
            belong_to(self, "--lag 0", f"--lag {self.lag}", "novelty", "goals")

        if self.noise == "on":
            owner = "--noise off, since fitness is no return there"
            belong_to(self, owner, "--noise on", "novelty", "goals", "reward")

        if self.isolate and self.command is not None:
            raise UserError(
                "--isolate must be used with --objective or --env-id, got --command; drop it"
            )
        if self.ranks_per_member is not None:
            self._check_team()
        if self.goals == "curriculum":
            rewards = ("novelty", "reward", "potential", "survival_bonus")
            others = ("init_policy", "episode_cap", "rules", "sampled_actions")
            belong_to(self, "--goals own", "--goals curriculum", *rewards, *others)

    def _check_objective(self) -> None:
        flag = "--objective" if self.command is None else "--command"
        if self.dimension is None:
            raise UserError(
                f"{flag} needs --dimension of at least 1, got None; give its number of parameters"
            )
        rewards = ("reward", "potential", "survival_bonus", "novelty", "goals")
        others = ("env_arg", "env_wrapper", "rules", "episode_cap", "behavior", "behavior_indices")
        belong_to(self, "--env-id", flag, *rewards, *others)
        if self.command is None:
            belong_to(self, "--command", flag, *(field.name for field in fields(ProgramSettings)))
        else:
            belong_to(self, "--objective", flag, "batch")
        self.columns(has_value=True)
        self.start(self.space(self.dimension))

    def _check_environment(self) -> None:
        space = (field.name for field in fields(SpaceSettings))
        program = (field.name for field in fields(ProgramSettings))
        belong_to(self, "--objective", "--env-id", "minimize", "batch", *space)
        belong_to(self, "--command", "--env-id", *program)
        self._check_columns()

        if self.target_return is not None and self.eval_every == 0:
            raise UserError("--target-return needs evaluations, got --eval-every 0; use 10")

        if self.env_backend != "vectorized":
            return
        others = "--env-backend auto, compiled or gymnasium"
        owned = ("novelty", "behavior", "behavior_indices", "reward", "potential", "goals")
        belong_to(self, others, "vectorized", *owned, way_out="use auto")
        if self.survival_bonus and self.member_statistic != "mean":
            raise UserError(
                f"--survival-bonus must be used with --member-statistic mean in --env-backend "
                f"vectorized, got {self.member_statistic}; use --env-backend auto"
            )

    def _check_columns(self) -> None:
        """Raises UserError for columns of episodes that return none."""
        columns = self.columns(has_value=False)
        if columns is None:
            return
        if columns.constraints.size:
            raise UserError(
                f"--returns must name measures in an environment, as m:name, got the constraint "
                f"{columns.others[columns.constraints[0]].name}; constraints belong to --objective "
                f"and --command"
            )
        belong_to(self, "the environment's own reward", "--returns", "reward", "potential")
        belong_to(self, "--goals own", "--returns", "goals")
        if self.env_backend in ("compiled", "vectorized"):
            raise UserError(
                f"--returns must be used with an environment that is stepped, got --env-backend "
                f"{self.env_backend}; use auto"
            )

    def _check_team(self) -> None:
        """Raises UserError for what a team of ranks cannot evaluate."""
        owner = "one rank per member"
        belong_to(self, owner, "--ranks-per-member", "isolate", "batch", "command", "goals")
        if self.env_id is None:
            return
        if self.env_backend in ("compiled", "vectorized"):
            raise UserError(
                f"--ranks-per-member must be used with an environment that is stepped, got "
                f"--env-backend {self.env_backend}; use auto"
            )
        if TEAM not in self.env_arguments().values():
            raise UserError(
                f"--ranks-per-member must be used with an argument of the environment that gets "
                f"the team's communicator, got none; use --env-arg comm={TEAM}"
            )

    @property
    def cores_per_worker(self) -> int:
        """Processor cores that each worker's programs, or its team of ranks, use."""
        return self.threads_per_rank or self.ranks_per_member or 1

    def whole_variables(self) -> dict[str, bool]:
        """Whether each variable is a whole number, by its name."""
        whole = self.space(self.dimension or 0).whole.tolist() if self.has_space else []
        return dict(zip(self.names, whole or [False] * len(self.names), strict=True))

    def with_files_read(self) -> dict[str, Any]:
        """The settings that files give, and paths that mean the same in any folder. Raises
        UserError.
        """
        changes = self.read_files()
        if self.command is None:
            return changes
        read = replace(self, **changes)
        changes["command"] = whole_command(self.command, read.whole_variables())
        changes["template"] = tuple(path.absolute() for path in self.template)
        return changes

    @property
    def max_generations(self) -> int | None:
        """The budget of generations; without one, it is 100 in environments and 10,000 for
        objectives, or none if another budget is given.
        """
        others = (self.max_env_steps, self.max_evaluations, self.max_time)
        if self.generations is not None or any(budget is not None for budget in others):
            return self.generations
        return 100 if self.env_id is not None else 10_000

    def reason_to_stop(self, generation: int, counters: Mapping[str, Any]) -> str | None:
        """Why a run ends here, or None: its target, or a budget, is reached.

        Args:
            generation: completed generations.
            counters: what was used, ``env_steps``, ``evaluations`` and ``elapsed_s``; and what was
                reached, ``last_eval`` with an environment, ``best_fitness`` with an objective.
        """
        target = self.target_return
        value = counters.get("best_fitness" if self.env_id is None else "last_eval")
        if (
            target is not None
            and value is not None
            and value >= (-target if self.minimize else target)
        ):
            return f"reached the target of {target:g}"
        for used, budget, noun in (
            (generation, self.max_generations, "generation"),
            (counters["env_steps"], self.max_env_steps, "environment step"),
            (counters["evaluations"], self.max_evaluations, "evaluation"),
        ):
            if budget is not None and used >= budget:
                return counted(used, noun)
        if self.max_time is not None and counters["elapsed_s"] >= self.max_time:
            return f"{counters['elapsed_s']:.0f} s"

        return None

    def part(self, group: type[T]) -> T:
        """The settings of one group."""
        names = (field.name for field in fields(group))  # type: ignore[arg-type]
        return group(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True)
class RunConfig:
    """The configuration of a run: the method, its settings and the shared ones."""

    method: str
    train: TrainSettings
    search: Settings
    choice: str = ""
    """Why the method ``auto`` chose this one, in one line; empty if the user chose it."""

    def check(self) -> None:
        """Raises UserError for settings that no run can have."""
        self.train.check()
        self.search.check()

        self._check_surrogate()
        self._check_behavior()

        space = self.space()
        if space is None:
            return
        if space.lattice.indices.size and not getattr(self.search, "integers", True):
            raise UserError(
                f"--integer-variables must be used with a method whose steps stay wide enough for "
                f"them, got {self.method}; use cma-es, sep-cma-es, pycma, openai-es, ars or "
                f"truncation-es"
            )
        sigma = getattr(self.search, "first_sigma", getattr(self.search, "sigma", None))
        if sigma is not None:
            self.train.check_sigma(space, sigma)

    def _check_behavior(self) -> None:
        train = self.train
        is_given = train.behavior is not None or train.behavior_indices
        if is_given and train.novelty == "none" and not isinstance(self.search, ArchiveSettings):
            raise UserError(
                "--behavior and --behavior-indices belong to --novelty, map-elites, cma-me and "
                "cma-mae, got none; use --novelty nsr"
            )

    def _check_surrogate(self) -> None:
        if self.train.env_id is not None and getattr(self.search, "surrogate", "none") != "none":
            raise UserError(
                f"--surrogate must be used with --objective, since a model cannot tell the noise "
                f"of episodes from the policy's return, got --env-id {self.train.env_id}; use "
                f"--surrogate none"
            )

    @property
    def isolates(self) -> bool:
        """Whether members are evaluated in child processes of the workers. Programs are child
        processes themselves.
        """
        train = self.train
        if train.command is not None or train.ranks_per_member is not None:
            return False
        may_isolate = family_of(self.method).reads("member", "isolate")
        return may_isolate and (train.isolate or train.member_timeout is not None)

    @property
    def worker_timeout(self) -> float | None:
        """Seconds after which a member is killed with its worker; None where it is killed without
        it: isolated members, teams of ranks and programs.
        """
        train = self.train
        apart = self.isolates or train.ranks_per_member is not None or train.command is not None
        return None if apart else train.member_timeout

    def space(self) -> SearchSpace | None:
        """The space that an objective is searched in, or None if it is all vectors."""
        if not self.train.has_space or self.train.dimension is None:
            return None
        return self.train.space(self.train.dimension)

    def refuse_unread(self, family: Family | None = None, by: str | None = None) -> None:
        """Raises UserError for a shared setting that the method does not read and is not at its
        default.

        Args:
            family: who reads; by default the method's own family.
            by: what the setting has no meaning for, in words; by default the method.
        """
        family = family_of(self.method) if family is None else family
        usual = defaults_of(self.method)
        for group, kind in GROUPS.items():
            for name in (each.name for each in fields(kind)):
                value = getattr(self.train, name)
                is_usual = is_default(self.train, name) or value == usual.get(name)
                if not (is_usual or family.reads(group, name)):
                    raise UserError(
                        f"{flag_name(name)} has no meaning for {by or self.method}, got {value}; "
                        f"drop it"
                    )

    def strategy(
        self, initial: NDArray[np.floating], learned_reward: bool = False, noisy: bool = False
    ) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,) in the problem's precision.

        Fitness ends a search of an objective. In environments it ends only searches that restart,
        and none where the meaning of fitness changes with the generation.

        Args:
            initial: (dimension,).
            learned_reward: whether the reward is learned while the strategy searches.
            noisy: whether fitness is treated as noisy.
        """
        self._check_surrogate()
        train = self.train
        search = self.search
        moves = learned_reward or train.novelty != "none" or train.goals != "own"
        if train.env_id is None and isinstance(search, UsesBudget):
            search = search.for_budget(train.has_budget)
        restarts = getattr(search, "restarts", "none") != "none"
        goes_on = not train.is_function and (moves or not restarts)
        if goes_on and isinstance(search, EndsByFitness):
            search = search.without_fitness()
        if isinstance(search, AdaptsToNoise):
            search = search.for_noise(noisy)

        space = self.space()
        if space is not None and isinstance(search, SettingsInSpace):
            strategy = search.strategy_in(space, initial, train.seed)
        else:
            strategy = search.strategy(initial, train.seed)
        if train.lag:
            self._allow_lag(strategy)
        return strategy

    def _allow_lag(self, strategy: Strategy) -> None:
        """Raises UserError for a strategy that `--lag` makes slower."""
        lag = self.train.lag
        if not isinstance(strategy, AllowsLag):
            raise UserError(
                f"--lag must be used with openai-es, ars, pgpe or snes, which follow a gradient, "
                f"got {self.method}: one that moves to the best members becomes {lag + 1} "
                f"interleaved searches, which together need {lag + 1} times the generations; use "
                f"--lag 0"
            )
        strategy.allow_lag(lag)

    def to_json(self) -> dict[str, Any]:
        """The configuration as ``config.json`` holds it."""
        parts: tuple[Any, ...] = (self.train, self.search)
        train, search = (
            {name: _as_json(value) for name, value in asdict(part).items()} for part in parts
        )
        found = {"method": self.method, "train": train, "search": search}
        return found | {"choice": self.choice} if self.choice else found

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of user-supplied code, as ``module:name``, that the run imports, and of files
        elsewhere that it opens.
        """
        parts: list[Any] = [self.train.env_arguments()]
        for setting in ("generator_arg", "planner_arg"):
            texts = getattr(self.search, setting, ())
            parts.append(named_values(flag_name(setting), texts, "name=value"))
        named = [*self.named_code.values()]
        if self.train.command is not None:
            named += [f"{PROGRAM}{self.train.command}", *map(str, self.train.template)]
        return (*named, *modules_of(self.train.env_id or "", {"": parts}))

    @property
    def named_code(self) -> dict[str, str]:
        """The names of user-supplied functions and classes, as ``module:name``, and of rules, as
        ``module:``, by their flag with its value.
        """
        train = self.train
        names: list[tuple[str, Any]] = [("--strategy", self.method)]
        names += [
            (flag_name(name), getattr(train, name)) for name in ("objective", "behavior", "policy")
        ]
        names += [
            (flag_name(name), getattr(self.search, name, None)) for name in ("expert", "generator")
        ]
        found = {
            f"{flag} {name}": name for flag, name in names if isinstance(name, str) and ":" in name
        }
        return found | {f"--rules {rule}": f"{rule}:" for rule in train.rules}

    @classmethod
    def from_json(cls, data: dict[str, Any], trusted: bool = True) -> RunConfig:
        """The configuration that ``config.json`` holds. Raises UserError for an unknown method or
        setting.

        Args:
            data: what `to_json` returned.
            trusted: whether to import the module of a user-supplied strategy. Without it, the
                method's settings are taken as they are recorded, which is enough to look at a run.
        """
        method = str(data["method"])[:200]
        train = settings_from(TrainSettings, data["train"])
        if ":" in method and not trusted:
            return cls(method, train, recorded_settings(data["search"]))
        choice = str(data.get("choice", ""))[:500]
        return cls(method, train, settings_from(settings_of(method), data["search"]), choice)

    def with_train(self, **changes: Any) -> RunConfig:
        """The same configuration with some shared settings changed."""
        return replace(self, train=replace(self.train, **changes))

    def with_search(self, **changes: Any) -> RunConfig:
        """The same configuration with some settings of the method changed."""
        search: Any = self.search
        return replace(self, search=replace(search, **changes))


_OF_A_START = {"run_dir", *(field.name for field in fields(StartSettings))}  # change no result


def command_of(config: RunConfig) -> list[str]:
    """``esengine train ...`` with a flag for each setting that changes the result and is not at its
    default.
    """
    words = ["esengine", "train", config.method]
    return [*words, *flags_of(config.train, _OF_A_START), *flags_of(config.search, _OF_A_START)]


def flags_of(settings: Any, left_out: Iterable[str]) -> list[str]:
    """The flags of the settings of a dataclass that are not at their defaults."""
    return flags_from(
        {name: value for name, value in changed(settings).items() if name not in left_out}
    )


def flags_from(values: Mapping[str, Any]) -> list[str]:
    """The flags that give settings these values, by name."""
    return [word for name, value in values.items() for word in _flag(name, value)]


def changed(settings: Any) -> dict[str, Any]:
    """The settings of a dataclass that are not at their defaults, by name."""
    found = {}
    for field in fields(settings):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if getattr(settings, field.name) != default:
            found[field.name] = getattr(settings, field.name)
    return found


def _as_json(value: Any) -> Any:
    """A setting as files hold it: paths are texts."""
    if isinstance(value, tuple):
        return tuple(map(_as_json, value))
    return str(value) if isinstance(value, Path) else value


def _flag(name: str, value: Any) -> list[str]:
    """The words that give a setting its value."""
    if isinstance(value, bool):
        return [flag_name(name if value else f"no_{name}")]
    values = value if isinstance(value, tuple | list) else (value,)
    return [flag_name(name), *map(str, values)]
