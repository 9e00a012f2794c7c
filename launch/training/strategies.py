"""Runs of strategies: shipped ones and custom ones."""

from __future__ import annotations

from esengine.algorithms.strategy import Strategy
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.goal_curriculum import GoalTraining
from esengine.launch.training.loop import Training
from esengine.launch.training.problem_from_settings import build_problem, initial_row
from esengine.launch.training.run import MethodRun
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.noise import table_log2
from esengine.pool import Built


class StrategyRun(MethodRun):
    """A run of a strategy, for a policy or for an objective."""

    @property
    def loop(self) -> type[Training]:
        return StrategyTraining if self.train.goals == "own" else GoalTraining

    def completed(self) -> RunConfig:
        return self.config.with_train(**self.train.read_files())

    def build(self, on_master: bool) -> Built[Strategy]:
        """The problem and the strategy; workers need the population's size for the noise table."""
        problem = build_problem(self.config, self.objective)
        strategy = self.config.strategy(initial_row(self.train, problem))
        log2 = table_log2(self.train.noise_table_size, problem.dimension, strategy.population_size)
        return Built(problem, strategy, log2, self.train.seed)
