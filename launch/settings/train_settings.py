"""The settings that all methods share, each defined once: a field here is a flag of ``esengine
train`` and a key of ``config.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from esengine.algorithms.goals.curriculum import GoalSettings
from esengine.algorithms.novelty import NoveltySettings
from esengine.checks import belong_to
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
from esengine.launch.settings.programs import ProgramSettings, whole_command
from esengine.launch.settings.search_space import SpaceSettings
from esengine.pool import FaultRules
from esengine.user_code import TEAM

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
