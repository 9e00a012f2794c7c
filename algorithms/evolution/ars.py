"""Augmented random search (Mania, Guy, Recht 2018, arXiv 1803.07055).

Finite differences along random directions. V2, the default, scales observations by their running
mean and standard deviation; V1 does not (``--no-normalize-observations``). V1-t and V2-t keep only
the best directions (``--top-directions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import default_population_size
from esengine.algorithms.evolution.lag import share_of_rate
from esengine.algorithms.evolution.mean_search import MeanSearch
from esengine.algorithms.evolution.ranking import best_first
from esengine.algorithms.evolution.step_sizes import StepSizeSettings
from esengine.algorithms.strategy import check_pairs
from esengine.candidates import AntitheticPairs
from esengine.checks import at_least, positive
from esengine.errors import UserError
from esengine.pool.population import Population

_HUGE = 1e100  # returns are divided by the largest one beyond this


@dataclass(frozen=True)
class ARSSettings(StepSizeSettings):
    """Move along the best random directions, weighted by their differences in return."""

    antithetic: ClassVar[bool] = True
    usual_sigma: ClassVar[float] = 0.5
    paper_sigma: ClassVar[float | None] = 0.03

    population_size: int | None = None
    """Members per generation, two for each direction; default 2 (4 + 3 ln(parameters))."""
    sigma: float | None = None
    """Standard deviation of the exploration noise (the paper's nu); default 0.5 in objectives. In
    environments it is 0.03 as in the paper's code, and four or sixteen times as much if trials
    before the search gain more by it.
    """
    step_size: float | None = None
    """Step size (the paper's alpha); default two thirds of sigma, as in the paper's code."""
    top_directions: int | None = None
    """Number of directions to keep, ranked by the better of their two returns; default all."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        positive(self, "step_size")
        at_least(self, 1, "top_directions", way_out="leave it out to keep all")
        if self.population_size is not None:
            check_pairs(self.population_size)
            self._check_directions(self.population_size)

    def _check_directions(self, population_size: int) -> None:
        most = population_size // 2
        if self.top_directions is not None and self.top_directions > most:
            raise UserError(
                f"--top-directions must be at most the {most} pairs of --population-size "
                f"{population_size}, got {self.top_directions}; leave it out to keep all"
            )

    def size_for(self, n: int) -> int:
        """Members per generation for ``n`` parameters. Raises UserError if they are fewer than the
        directions to keep.
        """
        size = self.population_size or 2 * default_population_size(n)
        self._check_directions(size)
        return size

    def strategy(self, initial: NDArray[np.floating], seed: int) -> ARS:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return ARS(self, initial, seed)


class ARS(MeanSearch):
    """The strategy. Its state is the mean (the paper's M).

    The step depends on the values of the fitness, not only on their order. It does not change when
    all fitness values are scaled or shifted.

    Args:
        settings: checked settings.
        initial: (n,) the first mean; the paper starts from zero.
        seed: the run's seed.
    """

    saved = ("generation", "mean")
    learns_from_ties = True
    settings: ARSSettings

    def __init__(self, settings: ARSSettings, initial: NDArray[np.floating], seed: int) -> None:
        super().__init__(settings, initial, seed, settings.size_for(initial.size))
        self.step_size = settings.step_size or self.sigma * 2 / 3

    def allow_lag(self, lag: int) -> None:
        """See `AllowsLag`."""
        self.step_size *= share_of_rate(lag)

    def ask(self) -> AntitheticPairs:
        return AntitheticPairs(
            self.seed, self.generation + 1, self.population_size, self.sigma, self.mean
        )

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        # The b best directions (algorithm 2, step 6)
        kept = top_pairs(fitness, self.settings.top_directions, self.seed, self.generation + 1)

        # The update of M (step 7)
        weights = np.zeros(self.population_size)
        weights[2 * kept] = step_weights(fitness[2 * kept], fitness[2 * kept + 1], self.step_size)
        self.mean = self.mean + population.weighted_noise(weights)


def top_pairs(
    fitness: NDArray[np.float64], most: int | None, seed: int, generation: int
) -> NDArray[np.int64]:
    """Return the numbers of the best pairs in ascending order, ranked by the better return of each.

    Ties are broken at random by the seed. A pair with a failed member has no difference in returns
    and is never kept.

    Args:
        fitness: (2 * num_pairs,) of members 2k and 2k + 1.
        most: pairs to keep; None keeps all.
        seed: the run's seed.
        generation: the generation of the members.

    Returns:
        (``most`` or fewer,) int64.
    """
    plus = fitness[::2]
    minus = fitness[1::2]
    valid = np.isfinite(plus) & np.isfinite(minus)

    best = best_first(np.where(valid, np.maximum(plus, minus), -np.inf), seed, generation)
    return np.sort(best[: min(int(valid.sum()), valid.size if most is None else most)])


def step_weights(
    plus: NDArray[np.float64], minus: NDArray[np.float64], step_size: float
) -> NDArray[np.float64]:
    """Return alpha / (b sigma_R) (r+ - r-) of each direction (algorithm 2, step 7).

    sigma_R is the standard deviation of the 2b returns. If all returns are equal there is no step.

    Args:
        plus: (b,) returns r+ of the kept directions.
        minus: (b,) returns r-.
        step_size: alpha.

    Returns:
        (b,) float64.
    """
    b = plus.size
    largest = max(np.abs(plus).max(initial=0), np.abs(minus).max(initial=0))
    if _HUGE < largest < np.inf:  # neither a difference nor a square may overflow
        plus, minus = plus / largest, minus / largest
    sigma_r = float(np.std(np.concatenate([plus, minus]))) if b else 0.0
    if not sigma_r > 0:
        return np.zeros(b)
    return step_size / (b * sigma_r) * (plus - minus)
