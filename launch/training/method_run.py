"""The run of a method: what it needs of the method, and what a strategy gives it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.algorithms.quality_diversity.trial_and_error import TrialAndErrorSettings
from esengine.algorithms.strategy import Strategy
from esengine.launch.mpirun.teams import check_team
from esengine.launch.runs.copied_files import copy_given, copy_starts
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import (
    IMITATION,
    POLICY_GRADIENT,
    REPERTOIRE,
    REWARD_LEARNING,
    family_of,
)
from esengine.launch.training.goal_curriculum import GoalTraining
from esengine.launch.training.loop import RoundTraining, Training
from esengine.launch.training.memory_need import check_memory
from esengine.launch.training.problem_from_settings import build_problem, initial_row, is_noisy
from esengine.launch.training.repertoire_loop import (
    RepertoireTraining,
    check_elites,
    check_repertoire,
)
from esengine.launch.training.searches_apart import ConcurrentTraining
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.noise import table_log2
from esengine.pool import Built

_LEARNERS = {
    IMITATION: "imitation:ImitationRun",
    POLICY_GRADIENT: "policy_gradient:PolicyGradientRun",
    REWARD_LEARNING: "reward_learning:RewardLearningRun",
}


class MethodRun(ABC):
    """From the settings of a run to the objects that carry it out; one class for each family of
    methods.

    Args:
        config: the settings of the run.
        objective: the function itself, when it comes from Python instead of by name.
    """

    def __init__(self, config: RunConfig, objective: Callable[..., Any] | None = None) -> None:
        self.config = config
        self.train = config.train
        self.search: Any = config.search
        self.objective = objective

    @property
    def loop(self) -> type[Training]:
        """The training loop."""
        return RoundTraining

    def completed(self) -> RunConfig:
        """The settings with those that follow from files, such as the environment of
        demonstrations. Raises UserError for settings that do not go together.
        """
        return self.config

    @abstractmethod
    def build(self, on_master: bool) -> Built[Any]:
        """The problem and, on the master, the method at its start. Raises UserError."""

    def check(self) -> Built[Any]:
        """Build what can be built before ranks start. Raises UserError for invalid settings."""
        return self.build(on_master=False)

    def copy_files(self, folder: Path) -> RunConfig:
        """Copy files to the run's folder, so that the run depends on no file elsewhere; returns the
        settings that name the copies.

        Raises:
            OSError, ValueError: a file cannot be read or written.
        """
        given = copy_given(folder, self.train)
        starts = copy_starts(folder, self.search)
        return self.config.with_train(**given).with_search(**starts)


class StrategyRun(MethodRun):
    """A run of a strategy, for a policy or for an objective."""

    @property
    def loop(self) -> type[Training]:
        if family_of(self.config.method) is REPERTOIRE:
            return RepertoireTraining
        if self.train.goals != "own":
            return GoalTraining
        is_concurrent = getattr(self.search, "concurrent_searches", 1) > 1
        return ConcurrentTraining if is_concurrent else StrategyTraining

    def completed(self) -> RunConfig:
        return self.config.with_train(**self.train.with_files_read())

    def build(self, on_master: bool) -> Built[Strategy]:
        """The problem and the strategy; workers need the population's size for the noise table."""
        if self.train.ranks_per_member is not None:
            check_team(self.train.ranks_per_member, self.train.workers)
        problem = build_problem(self.config, self.objective)
        if isinstance(self.search, ArchiveSettings):
            check_repertoire(self.config, problem)
        if isinstance(self.search, TrialAndErrorSettings):
            check_elites(self.config, problem)
        check_memory(self.config.method, self.search, problem.dimension)
        noisy = is_noisy(self.train, problem)
        strategy = self.config.strategy(initial_row(self.train, problem), noisy=noisy)
        log2 = table_log2(self.train.noise_table_size, problem.dimension, strategy.population_size)
        return Built(problem, strategy, log2, self.train.seed)


def method_run(config: RunConfig, objective: Callable[..., Any] | None = None) -> MethodRun:
    """The run that the settings describe; the module of a learner is imported when it is used."""
    family = family_of(config.method)
    if family not in _LEARNERS:
        return StrategyRun(config, objective)
    module, _, name = _LEARNERS[family].partition(":")
    kind: type[MethodRun] = getattr(import_module(f"esengine.launch.training.{module}"), name)
    return kind(config, objective)
