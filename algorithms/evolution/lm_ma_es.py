"""LM-MA-ES: matrix adaptation with limited memory (Loshchilov, Glasmachers, Beyer 2017, arXiv
1705.06693).

A member takes O(m n) time and memory for m = 4 + 3 ln n directions. Letters and lines are those of
the paper's Algorithm 3.

The paper's rates are made for populations below half the number of parameters. For larger
populations we clamp the rates at 1/2 and the squared length of a direction at 4 n, which is four
times its length without selection. Otherwise the variance along a direction would grow without
bound, because the mean step of a large population is long. We clamp the logarithm of every change
of sigma at 1.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import default_population_size
from esengine.algorithms.evolution.cma_termination import FitnessRange, FitnessTolerance
from esengine.algorithms.evolution.mean_search import DistributionSettings, MeanSearch
from esengine.algorithms.evolution.ranking import recombination_weights, selection_mass
from esengine.algorithms.evolution.restarts import RestartSettings
from esengine.algorithms.strategy import Strategy
from esengine.candidates import Candidates, LimitedSamples
from esengine.candidates.limited import transformed
from esengine.checks import at_least
from esengine.pool.population import Population

_LONGEST = 4.0  # squared length of a direction, in units of n


@dataclass(frozen=True)
class LMMAESSettings(FitnessTolerance, DistributionSettings, RestartSettings):
    """Adapt a few directions of a normal distribution, for very many dependent parameters."""

    integers: ClassVar[bool] = False  # its step sizes may shrink until all members round to one

    directions: int | None = None
    """Number of directions to adapt (m); default 4 + 3 ln(parameters)."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        at_least(self, 1, "directions")
        self.check_restarts()
        at_least(self, 0, "tolerance_fun", way_out="0 never stops")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,)."""
        self.check()

        def make(
            mean: NDArray[np.floating], own_seed: int, size: int, sigma: float, generation: int
        ) -> LMMAES:
            settings = replace(self, population_size=size, sigma=sigma)
            return LMMAES(settings, mean.astype(initial.dtype), own_seed, generation)

        size = self.population_size or default_population_size(initial.size)
        return self.search(make, size, self.first_sigma, initial, seed)


class LMMAES(MeanSearch):
    """The strategy. Its state is the mean, sigma, the step-size path and the directions.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
        generation: number of generations of the run before this search.
    """

    saved = (*MeanSearch.saved, "p_sigma", "M", "_learned", "_range")
    settings: LMMAESSettings

    def __init__(
        self,
        settings: LMMAESSettings,
        initial: NDArray[np.floating],
        seed: int,
        generation: int = 0,
    ) -> None:
        super().__init__(settings, initial, seed, None, np.float64)
        self.generation = generation
        n = initial.size
        size = self.population_size
        if 2 * size >= n and generation == 0:  # no restart repeats it
            warnings.warn(
                f"lm-ma-es needs a population of less than half the number of parameters, got "
                f"{size} members and {n} parameters, with which it may diverge; use cma-es",
                stacklevel=2,
            )

        # Selection and recombination
        raw = np.maximum(0, math.log(size // 2 + 0.5) - np.log(np.arange(1, size + 1)))
        self.weights = raw / raw.sum()

        # Step-size control
        self.p_sigma = np.zeros(n)
        self.c_sigma = min(0.5, 2 * size / n)

        # Matrix adaptation
        m = settings.directions or default_population_size(n)
        self.M = np.zeros((m, n))
        self.c_d = np.minimum(0.5, 1 / (1.5 ** np.arange(m) * n))
        self.c_c = np.minimum(0.5, size / (4.0 ** np.arange(m) * n))
        self._longest = _LONGEST if 2 * size >= n else math.inf
        self._learned = 0  # generations that were learned from
        self._range = FitnessRange(10 + int(30 * n / size))

    def _acting(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the directions used in this generation and their rates; every generation adds one
        direction until all m are in use.
        """
        count = min(self._learned, len(self.M))
        return self.M[:count], self.c_d[:count]

    def ask(self) -> LimitedSamples:
        mean = self.mean.astype(self._dtype)
        return LimitedSamples(
            self.seed, self.generation + 1, self.population_size, self.sigma, mean, *self._acting()
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        super().tell(candidates, fitness, population)
        valid = fitness[np.isfinite(fitness)]
        if valid.size:
            self._range.remember(valid)

    def should_stop(self) -> str | None:
        return self._range.reason(self.settings.tolerance_fun) or super().should_stop()

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        n = self.mean.size
        c_s = self.c_sigma
        c_c = self.c_c[:, None]

        # Selection and recombination
        weights = recombination_weights(fitness, self.weights)
        mass = selection_mass(weights)
        z_w = population.weighted_noise(weights, np.float64).astype(np.float64)
        d_w = transformed(z_w, *self._acting())  # the transformation is linear
        self.mean = self.mean + self.sigma * d_w  # line 12

        # Step-size control: the path
        self.p_sigma = (1 - c_s) * self.p_sigma + math.sqrt(mass * c_s * (2 - c_s)) * z_w  # line 13

        # Matrix adaptation
        self.M = (1 - c_c) * self.M + np.sqrt(mass * c_c * (2 - c_c)) * z_w  # line 15
        lengths = np.sum(self.M**2, axis=1, keepdims=True)
        self.M *= np.sqrt(np.minimum(1, self._longest * n / np.maximum(lengths, 1e-300)))
        self._learned += 1

        # Step-size control: sigma
        length = float(self.p_sigma @ self.p_sigma)
        self.sigma *= math.exp(min(1.0, c_s / 2 * (length / n - 1)))  # line 16
