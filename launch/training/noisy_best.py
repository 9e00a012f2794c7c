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


class Best(NamedTuple):
    """A row of the search, and what it was found to be worth.

    Attributes:
        row: (dimension,) float64.
        fitness: mean of its evaluations.
        num_evaluations: how many they are; 0 if there is no such row yet.
    """

    row: NDArray[np.floating]
    fitness: float
    num_evaluations: int


class NoisyBest:
    """The best row so far, and a newcomer: the member with the greatest fitness since the last
    evaluation.

    Args:
        dimension: of a row.
    """

    def __init__(self, dimension: int) -> None:
        self._none = Best(np.full(dimension, np.nan), -math.inf, 0)
        self.best = self._none
        self.newcomer = self._none

    @property
    def shown(self) -> Best:
        """The best row or, before the first evaluation, the newcomer with its single fitness."""
        return self.best if self.best.num_evaluations else self.newcomer

    def meet(self, row: NDArray[np.floating], fitness: float) -> None:
        """Take a generation's best member as the newcomer, if it is better than the last one."""
        if fitness > self.newcomer.fitness:
            self.newcomer = Best(row, fitness, 1)

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
        return again if again.fitness > self.best.fitness else self.best

    def state(self) -> State:
        """For a checkpoint: the two rows, (2, dimension), and their fitness and evaluations."""
        both = (self.best, self.newcomer)
        numbers = [(each.fitness, each.num_evaluations) for each in both]
        return {"rows": np.array([each.row for each in both]), "numbers": np.array(numbers)}

    def restore(self, state: State) -> None:
        """Become the one that gave ``state``."""
        self.best, self.newcomer = (
            Best(row, float(fitness), int(count))
            for row, (fitness, count) in zip(state["rows"], state["numbers"], strict=True)
        )
