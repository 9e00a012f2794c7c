"""SNES: separable natural evolution strategies (Wierstra et al. 2014, "Natural Evolution
Strategies", JMLR 15, section 3.5).

The strategy follows the natural gradient of the expected utility with respect to the mean and the
standard deviation of every parameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.lag import share_of_rate
from esengine.algorithms.evolution.mean_search import DistributionSettings, SeparableSearch
from esengine.algorithms.evolution.ranking import by_rank
from esengine.candidates import ScaledSamples
from esengine.checks import positive
from esengine.pool.population import Population


@dataclass(frozen=True)
class SNESSettings(DistributionSettings):
    """Adapt the mean and the standard deviation of every parameter by the natural gradient."""

    integers: ClassVar[bool] = False  # its step sizes may shrink until all members round to one
    least_population: ClassVar[int] = 2

    learning_rate: float = 1.0
    """Learning rate of the mean."""
    sigma_learning_rate: float | None = None
    """Learning rate of the standard deviations; default (3 + ln n) / (5 sqrt n) for n parameters.
    """

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        positive(self, "learning_rate", "sigma_learning_rate")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> SNES:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return SNES(self, initial, seed)


class SNES(SeparableSearch):
    """The strategy. Its state is the mean and the standard deviations, both float64.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    settings: SNESSettings

    def __init__(self, settings: SNESSettings, initial: NDArray[np.floating], seed: int) -> None:
        super().__init__(settings, initial, seed, None, np.float64)
        n = initial.size
        self.eta_mean = settings.learning_rate
        self.eta_sigma = settings.sigma_learning_rate or (3 + math.log(n)) / (5 * math.sqrt(n))

    def allow_lag(self, lag: int) -> None:
        """See `AllowsLag`. Gradients are taken in units of the present deviations."""
        self.eta_mean *= share_of_rate(lag)
        self.eta_sigma *= share_of_rate(lag)

    def ask(self) -> ScaledSamples:
        mean = self.mean.astype(self._dtype)
        deviations = self.deviations.astype(self._dtype)
        return ScaledSamples(
            self.seed, self.generation + 1, self.population_size, False, mean, deviations
        )

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        # Natural gradients of the utility, s ~ N(0, I)
        u = by_rank(fitness, utilities(self.population_size))
        gradient_mean = population.weighted_noise(u)  # sum u s
        gradient_sigma = population.weighted_squares(u) - u.sum()  # sum u (s^2 - 1)

        # Update of the mean and of the standard deviations
        self.mean = self.mean + self.eta_mean * self.deviations * gradient_mean
        self.deviations = self.deviations * np.exp(self.eta_sigma / 2 * gradient_sigma)


def utilities(population_size: int) -> NDArray[np.float64]:
    """Return the paper's utilities by rank, best first, (population_size,); their sum is zero."""
    ranks = np.arange(1, population_size + 1)
    raw = np.maximum(0, math.log(population_size / 2 + 1) - np.log(ranks))
    return raw / raw.sum() - 1 / population_size
