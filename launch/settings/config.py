"""The configuration of a run, as ``config.json`` records it: the method, its own settings and those
that all methods share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

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
from esengine.checks import flag_name, is_default, named_values
from esengine.errors import UserError
from esengine.launch.settings.groups import (
    StartSettings,
)
from esengine.launch.settings.methods import Family, defaults_of, family_of, settings_of
from esengine.launch.settings.settings_values import recorded_settings, settings_from
from esengine.launch.settings.train_settings import GROUPS, TrainSettings
from esengine.problems.search_space import SearchSpace
from esengine.user_code import PROGRAM, modules_of

T = TypeVar("T")


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
