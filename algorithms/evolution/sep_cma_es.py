"""sep-CMA-ES: CMA-ES with a diagonal covariance matrix (Ros, Hansen 2008, doi
10.1007/978-3-540-87700-4_30).

Time and memory are linear in the number of parameters n. The rank-one and rank-mu rates are those
of the full matrix times (n + 2) / 3. We clamp their sum at 1, which the paper's rates exceed for
large populations. Equation numbers are those of the CMA-ES tutorial (arXiv 1604.00772).

Negative weights are left out: their bound needs the length of each member's noise, which no slice
of coordinates has. The ``cma`` package's CMA_diagonal is another algorithm, so no test compares the
two step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import (
    Coefficients,
    default_population_size,
    expected_length,
)
from esengine.algorithms.evolution.cma_termination import FitnessRange, FitnessTolerance
from esengine.algorithms.evolution.integer_margin import margin_of
from esengine.algorithms.evolution.mean_search import DistributionSettings, MeanSearch
from esengine.algorithms.evolution.ranking import recombination_weights, selection_mass
from esengine.algorithms.evolution.restarts import RestartSettings
from esengine.algorithms.strategy import Strategy, out_of_range
from esengine.candidates import Candidates, ScaledSamples
from esengine.checks import at_least
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace


@dataclass(frozen=True)
class SepCMAESSettings(FitnessTolerance, DistributionSettings, RestartSettings):
    """Adapt a normal distribution with a diagonal covariance matrix; the cost is linear in the
    number of parameters.
    """

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        self.check_restarts()
        at_least(self, 0, "tolerance_fun", way_out="0 never stops")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return self.strategy_in(SearchSpace.free(initial.size), initial, seed)

    def strategy_in(self, space: SearchSpace, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy for a space; integer variables keep a least probability to change."""
        self.check()

        def make(
            mean: NDArray[np.floating], own_seed: int, size: int, sigma: float, generation: int
        ) -> SepCMAES:
            settings = replace(self, population_size=size, sigma=sigma)
            return SepCMAES(settings, mean.astype(initial.dtype), own_seed, space, generation)

        size = self.population_size or default_population_size(initial.size)
        return self.search(make, size, self.first_sigma, initial, seed)


class SepCMAES(MeanSearch):
    """The strategy. Its state is the mean, sigma, the variances (diagonal of C), the two paths, the
    factors of the margin and the fitness of the last generations.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
        space: the search space, or None for all vectors.
        generation: number of generations of the run before this search.
    """

    saved = (*MeanSearch.saved, "variances", "p_sigma", "p_c", "_factors", "_range")
    settings: SepCMAESSettings

    def __init__(
        self,
        settings: SepCMAESSettings,
        initial: NDArray[np.floating],
        seed: int,
        space: SearchSpace | None = None,
        generation: int = 0,
    ) -> None:
        super().__init__(settings, initial, seed, None, np.float64)
        self.generation = generation
        self._born = generation
        n = initial.size
        size = self.population_size
        space = space or SearchSpace.free(n)
        self.coefficients = separable(Coefficients.default(n, size, active=False), n)

        self.variances = np.ones(n)
        self.p_sigma = np.zeros(n)
        self.p_c = np.zeros(n)
        self._margin = margin_of(space, size)
        self._factors = None if self._margin is None else np.ones(n)  # on sampled deviations

        self._range = FitnessRange(10 + int(30 * n / size) + 10 * space.lattice.indices.size)

    @property
    def deviations(self) -> NDArray[np.float64]:
        """The standard deviation of every parameter, (n,)."""
        return self.sigma * np.sqrt(self.variances)

    def ask(self) -> ScaledSamples:
        deviations = self.deviations
        if self._factors is not None:
            deviations = deviations * self._factors
        return ScaledSamples(
            self.seed,
            self.generation + 1,
            self.population_size,
            False,
            self.mean.astype(self._dtype),
            deviations.astype(self._dtype),
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        super().tell(candidates, fitness, population)
        valid = fitness[np.isfinite(fitness)]
        if valid.size:
            self._range.remember(valid)

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        n = self.mean.size
        k = self.coefficients
        weights = recombination_weights(fitness, k.weights)
        mass = selection_mass(weights)

        # Selection and recombination
        z_w = population.weighted_noise(weights).astype(np.float64)  # C^(-1/2) y_w
        y_w = np.sqrt(self.variances) * z_w
        rank_mu = self.variances * population.weighted_squares(weights)  # sum w y^2
        self.mean = self.mean + self.sigma * y_w  # eq. 42

        # Step-size control
        scale = math.sqrt(k.c_sigma * (2 - k.c_sigma) * mass)
        self.p_sigma = (1 - k.c_sigma) * self.p_sigma + scale * z_w  # eq. 43
        length = float(np.sum(self.p_sigma**2))
        change = k.c_sigma / k.d_sigma * (math.sqrt(length) / expected_length(n) - 1)
        self.sigma *= math.exp(min(1.0, change))  # eq. 44

        # Covariance matrix adaptation
        age = self.generation - self._born + 1
        h_sigma = length / (1 - (1 - k.c_sigma) ** (2 * age)) / n < 2 + 4 / (n + 1)
        scale = h_sigma * math.sqrt(k.c_c * (2 - k.c_c) * mass)
        self.p_c = (1 - k.c_c) * self.p_c + scale * y_w  # eq. 45
        decay = max(0.0, 1 - k.c_1 * (1 - (1 - h_sigma) * k.c_c * (2 - k.c_c)) - k.c_mu)
        self.variances = decay * self.variances + k.c_1 * self.p_c**2 + k.c_mu * rank_mu  # eq. 47

        # Margin for integer variables
        if self._margin is not None and self._factors is not None:
            self.mean, self._factors = self._margin.corrected(
                self.mean, self.deviations, self._factors
            )

    def should_stop(self) -> str | None:
        reason = self._range.reason(self.settings.tolerance_fun)
        return reason or out_of_range(self.deviations, self.settings.first_sigma)

    def metrics(self) -> dict[str, float]:
        axis_ratio = math.sqrt(float(self.variances.max() / self.variances.min()))
        return super().metrics() | {"axis_ratio": axis_ratio}


def separable(full: Coefficients, n: int) -> Coefficients:
    """Return the rates of a diagonal matrix: those of a full one times (n + 2) / 3, clamped so that
    c_1 + c_mu <= 1.
    """
    factor = (n + 2) / 3
    c_1 = min(1.0, factor * full.c_1)
    return replace(full, c_1=c_1, c_mu=min(1 - c_1, factor * full.c_mu))
