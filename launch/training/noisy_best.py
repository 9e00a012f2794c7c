"""The best point of a noisy objective. The greatest of many noisy values is mostly luck, so points
are compared by means of new evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig


class Best(NamedTuple):
    """A row of the search, and what it was found to be worth.

    Attributes:
        row: (dimension,) float64.
        fitness: mean of its evaluations.
        num_evaluations: how many they are; 0 if there is no such row yet.
        violation: sum of squared violations of its constraints.
        columns: (num_others,) means of its columns beside the value, or None.
        standard_error: of the mean; NaN for fewer than two values.
    """

    row: NDArray[np.floating]
    fitness: float
    num_evaluations: int
    violation: float = 0.0
    columns: NDArray[np.float64] | None = None
    standard_error: float = math.nan

    def is_better(self, other: Best) -> bool:
        """Whether it violates less than another one, or as much with a greater fitness."""
        return (-self.violation, self.fitness) > (-other.violation, other.fitness)


class NoisyBest:
    """The best row so far, and a newcomer: the member with the greatest fitness since the last
    evaluation.

    Args:
        dimension: of a row.
        num_columns: beside the value.
    """

    def __init__(self, dimension: int, num_columns: int = 0) -> None:
        columns = np.full(num_columns, np.nan) if num_columns else None
        self._none = Best(np.full(dimension, np.nan), -math.inf, 0, math.inf, columns)
        self.best = self._none
        self.newcomer = self._none

    @property
    def shown(self) -> Best:
        """The best row or, before the first evaluation, the newcomer with its single fitness."""
        return self.best if self.best.num_evaluations else self.newcomer

    def meet(self, best: Best) -> None:
        """Take a generation's best member as the newcomer, if it is better than the last one."""
        if best.is_better(self.newcomer):
            self.newcomer = best

    def judge(self, evaluate: Callable[[NDArray[np.floating]], Best]) -> None:
        """Evaluate the newcomer again, and keep the better one of the two."""
        self.best = self.better(evaluate)
        self.newcomer = self._none

    def renew(self, evaluate: Callable[[NDArray[np.floating]], Best]) -> None:
        """Evaluate the best row again, since the objective is another, and forget the newcomer."""
        if self.best.num_evaluations:
            self.best = evaluate(self.best.row)
        self.newcomer = self._none

    def better(self, evaluate: Callable[[NDArray[np.floating]], Best]) -> Best:
        """The best row, or the newcomer if the mean of new evaluations is greater."""
        if not self.newcomer.num_evaluations:
            return self.best
        again = evaluate(self.newcomer.row)
        return again if again.is_better(self.best) else self.best

    def state(self) -> State:
        """For a checkpoint: the two rows, (2, dimension), and their numbers."""
        both = (self.best, self.newcomer)
        numbers = [(each.fitness, each.num_evaluations, each.standard_error) for each in both]
        state = {"rows": np.array([each.row for each in both]), "numbers": np.array(numbers)}
        columns = [each.columns for each in both if each.columns is not None]
        if columns:
            state["columns"] = np.array(columns)
            state["violations"] = np.array([each.violation for each in both])
        return state

    def restore(self, state: State) -> None:
        """Become the one that gave ``state``."""
        both = [
            Best(row, float(fitness), int(count), 0.0 if count else math.inf, None, float(error))
            for row, (fitness, count, error) in zip(state["rows"], state["numbers"], strict=True)
        ]
        if "columns" in state:
            more = zip(state["violations"].tolist(), state["columns"], strict=True)
            both = [
                each._replace(violation=violation, columns=columns)
                for each, (violation, columns) in zip(both, more, strict=True)
            ]
        self.best, self.newcomer = both


def check_noisy(config: RunConfig) -> None:
    """Raises UserError for settings that do not go together with an objective that has noise."""
    if getattr(config.search, "surrogate", "none") != "none":
        raise UserError(
            "--surrogate must be used with an objective without noise, got one with a parameter "
            "seed; use --surrogate none"
        )
    if config.train.target_return is not None and not config.train.eval_every:
        raise UserError(
            "--target-return needs evaluations of a noisy objective, got --eval-every 0; use 10"
        )
