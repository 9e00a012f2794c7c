"""How much of the ranking of a population is noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import State

_RATE = 0.1  # of the moving averages: the last ten generations or so


class Reliability(SavedState):
    """The reliability of a ranking: 1 minus the share of the variance of ranks that is noise, as
    members show that are evaluated twice.

    Ranks are what strategies learn from, and a few extreme values of heavy-tailed noise, which
    would decide a variance of fitness, are ranks as others are. Both variances are averaged over
    generations before they are divided, since the ratio of two small samples is biased.

    Attributes:
        noise: moving average of the variance of a member's rank under new seeds.
        spread: moving average of the variance of ranks in a population.
    """

    saved = ("noise", "spread", "_weight")
    varying_state = ("noise", "spread", "weight")  # an objective may become noisy by an edit

    def __init__(self) -> None:
        self.noise = 0.0
        self.spread = 0.0
        self._weight = 0.0  # of all generations in the averages

    @property
    def value(self) -> float | None:
        """The reliability, from 0, all noise, to 1, none; None before the first pair."""
        if not self._weight or not self.spread > 0:
            return None
        return float(np.clip(1 - self.noise / self.spread, 0, 1))

    def restore(self, state: State) -> None:
        if state:
            super().restore(state)

    def tell(
        self,
        fitness: NDArray[np.float64],
        repeated: NDArray[np.int64],
        again: NDArray[np.float64],
        common: bool,
    ) -> None:
        """Add a generation.

        Args:
            fitness: (population_size,), minus infinity for failed members.
            repeated: (num_repeats,) the members that were evaluated twice.
            again: (num_repeats,) the fitness of the second time.
            common: whether all members share their start states. The mean difference between the
                two times then belongs to the start states, and no ranking depends on it. It is
                taken off fitness itself, since ranks have no such difference.
        """
        values = np.concatenate([fitness, again])
        if not common:
            ranks = np.unique(values, return_inverse=True)[1]  # equal values share one
            values = np.where(np.isfinite(values), ranks, np.nan)
        first, second = values[: fitness.size], values[fitness.size :]
        differences = second - first[repeated]
        differences = differences[np.isfinite(differences)]
        valid = first[np.isfinite(first)]
        if differences.size < 1 + common or valid.size < 2:
            return

        squares = differences**2
        if common:
            squares = np.array([differences.var(ddof=1)])
        rate = max(_RATE, 1 / (1 + self._weight))  # a plain mean at first
        self._weight += 1
        self.noise += rate * (float(squares.mean()) / 2 - self.noise)
        self.spread += rate * (float(valid.var(ddof=1)) - self.spread)
