"""VkD-CMA-ES: CMA-ES with a diagonal matrix and k directions (Akimoto, Hansen 2016, doi
10.1145/2908812.2908863), whose number it adapts (doi 10.1007/978-3-319-45823-6_1).

Time and memory are linear in the number of parameters n. No rank holds the members: their inner
products, summed over slices of coordinates, say which of their combinations are the longest axes,
and sums of their noise give these axes. If there are as many parents as parameters, the sum of
z z^T is smaller than all inner products, and is used instead.

The step size follows two-point adaptation: members 0 and 1 lie ahead of and behind the mean on the
line of its last step, and the difference of their ranks says whether steps should be longer.
Constants are those of the ``cma`` package 4.5, except that the averages which decide on the number
of directions are averages, with the paper's limits: the package uses the last generation alone.
Equation numbers are those of the CMA-ES tutorial (arXiv 1604.00772).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import Coefficients, default_population_size
from esengine.algorithms.evolution.cma_termination import FitnessRange, FitnessTolerance
from esengine.algorithms.evolution.direction_count import DirectionCount
from esengine.algorithms.evolution.integer_margin import margin_of
from esengine.algorithms.evolution.mean_search import DistributionSettings, MeanSearch
from esengine.algorithms.evolution.ranking import by_rank, recombination_weights, selection_mass
from esengine.algorithms.evolution.restarts import RestartSettings
from esengine.algorithms.evolution.restricted_covariance import (
    LongestAxes,
    RestrictedCovariance,
    RestrictedRates,
    longest_axes_of,
)
from esengine.algorithms.strategy import Strategy, out_of_range
from esengine.candidates import RestrictedSamples
from esengine.candidates.contract import Candidates
from esengine.checks import at_least
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace
from esengine.seeding import derive_key, generator

_C_SIGMA = 0.3  # learning rate of the average gain


Axes = tuple[NDArray[np.float64], NDArray[np.float64], float, NDArray[np.float64]]
"""The arguments of `RestrictedCovariance.become`."""


@dataclass(frozen=True)
class VkDCMAESSettings(FitnessTolerance, DistributionSettings, RestartSettings):
    """Adapt the scale of every parameter and a few directions, for many dependent parameters; the
    cost is linear in the number of parameters.
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
        ) -> VkDCMAES:
            settings = replace(self, population_size=size, sigma=sigma)
            return VkDCMAES(settings, mean.astype(initial.dtype), own_seed, space, generation)

        size = self.population_size or default_population_size(initial.size)
        return self.search(make, size, self.first_sigma, initial, seed)


class VkDCMAES(MeanSearch):
    """The strategy. Its state is the mean, sigma, the restricted covariance matrix, the two paths,
    the averages that decide on the number of directions, the factors of the margin and the fitness
    of the last generations.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
        space: the search space, or None for all vectors.
        generation: number of generations of the run before this search.
    """

    saved = (
        *MeanSearch.saved,
        "matrix",
        "directions",
        "p_c",
        "shift",
        "success",
        "_factors",
        "_range",
    )
    settings: VkDCMAESSettings

    def __init__(
        self,
        settings: VkDCMAESSettings,
        initial: NDArray[np.floating],
        seed: int,
        space: SearchSpace | None = None,
        generation: int = 0,
    ) -> None:
        super().__init__(settings, initial, seed, None, np.float64)
        self.generation = generation
        n = initial.size
        size = self.population_size
        space = space or SearchSpace.free(n)
        self.coefficients = Coefficients.default(n, size, active=False)

        self.matrix = RestrictedCovariance(n)
        self.directions = DirectionCount(n, size, math.log(self.sigma))
        self.p_c = np.zeros(n)
        self.shift = np.zeros(n)  # the last step of the mean, without sigma
        self.success = 0.0  # average gain of the members ahead over those behind
        self._margin = margin_of(space, size)
        self._factors = None if self._margin is None else np.ones(n)  # on sampled deviations
        self._range = FitnessRange(10 + int(30 * n / size) + 10 * space.lattice.indices.size)

    @property
    def deviations(self) -> NDArray[np.float64]:
        """The standard deviation of every parameter, (n,)."""
        return np.asarray(self.sigma * np.exp(self.matrix.log_variances / 2))

    def ask(self) -> RestrictedSamples:
        D = self.matrix.D
        return RestrictedSamples(
            self.seed,
            self.generation + 1,
            self.population_size,
            self.sigma,
            self.mean.astype(self._dtype),
            D if self._factors is None else D * self._factors,
            self.matrix.V,
            self.matrix.stretches,
            self.p_c / D,
            self._probe(),
        )

    def _probe(self) -> NDArray[np.float64]:
        """Return z of a member in the direction of the last step, as long as a random one; empty
        before the first step.
        """
        z = self.matrix.whitened(self.shift / self.matrix.D)
        length = float(np.sqrt(z @ z))
        if length == 0:
            return np.zeros(0)
        draw = generator(derive_key(self.seed, "probe", self.generation + 1))
        return z * (math.sqrt(draw.chisquare(z.size)) / length)

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        super().tell(candidates, fitness, population)
        valid = fitness[np.isfinite(fitness)]
        if valid.size:
            self._range.remember(valid)

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        samples = self.ask()
        weights = recombination_weights(fitness, self.coefficients.weights)
        mass = selection_mass(weights)

        # Selection and recombination
        z_w = population.weighted_noise(weights, np.float64).astype(np.float64)
        if samples.num_probes:
            z_w = z_w + (weights[0] - weights[1]) * samples.probe
        s_w = self.matrix.stretched(z_w)  # D^(-1) y_w
        self.shift = self.matrix.D * s_w
        self.mean = self.mean + self.sigma * self.shift  # eq. 42

        # Step-size control: two-point adaptation
        if samples.num_probes:
            worse = by_rank(fitness, np.arange(fitness.size, dtype=np.float64))
            gain = (worse[1] - worse[0]) / (fitness.size - 1)
            self.success += _C_SIGMA * (float(gain) - self.success)
            self.sigma *= math.exp(self.success / (4 - 3 / self.mean.size))

        # Covariance matrix adaptation
        self._adapt(weights, population, samples, s_w, mass)

        # Margin for integer variables
        if self._margin is not None and self._factors is not None:
            self.mean, self._factors = self._margin.corrected(
                self.mean, self.deviations, self._factors
            )

    def _adapt(
        self,
        weights: NDArray[np.float64],
        population: Population,
        samples: RestrictedSamples,
        s_w: NDArray[np.float64],
        mass: float,
    ) -> None:
        """Learn the matrix, and how many directions it has.

        Args:
            weights: (population_size,) of the members.
            population: of the generation.
            samples: what it was asked for.
            s_w: (n,) the mean step, without D.
            mass: variance-effective selection mass.
        """
        n = self.mean.size
        matrix = self.matrix
        rates = RestrictedRates.default(n, self.directions.k, self.coefficients.mu_eff)
        c_c = rates.c_c
        h_sigma = self.success < 0.5
        alpha2 = 1 - rates.c_1 * (1 - (1 - h_sigma) * c_c * (2 - c_c)) - rates.c_mu
        alpha2 = max(0.0, alpha2)

        # The path p_c, without D
        scale = h_sigma * math.sqrt(c_c * (2 - c_c) * mass)
        path = (1 - c_c) * samples.path + scale * s_w  # eq. 45

        # U U^T with U = [alpha V^T S^(1/2), (c_mu w)^(1/2) s, c_1^(1/2) p], and its longest axes
        if np.count_nonzero(weights) + len(matrix.V) + 2 < n:
            found = self._axes_from_members(weights, population, samples, alpha2, rates, scale)
        else:
            found = self._axes_from_matrix(weights, population, samples, alpha2, rates, path)
        self.p_c = matrix.D * path
        self.p_c /= matrix.become(alpha2, *found)

        # The number of directions
        self.directions.remember(math.log(self.sigma), matrix.log_variances, 1 + matrix.S)
        matrix.keep(self.directions.adapt(1 + matrix.S, rates.c_1 + rates.c_mu))

    def _axes_from_members(
        self,
        weights: NDArray[np.float64],
        population: Population,
        samples: RestrictedSamples,
        alpha2: float,
        rates: RestrictedRates,
        scale: float,
    ) -> Axes:
        """Return the longest axes as combinations of V, the path, the probe and the noise of the
        members, with the arguments of `_axes_from_matrix`; the new path is (1 - c_c) times the old
        one and ``scale`` times the mean step.
        """
        V = self.matrix.V
        k = len(V)
        num_probes = samples.num_probes
        chosen = weights > 0
        chosen[:num_probes] = False

        # The rows of B: vectors = [V, path, probe], and z of the members
        vectors = samples.vectors()
        products = population.inner_products(chosen)
        num_vectors = len(vectors)
        corner = vectors @ vectors.T
        gram = np.block([[corner, products[:, :num_vectors].T], [products]])

        # Each step s = z + T^T V; the probe is one with two signs
        first = weights[chosen]
        second = first
        if num_probes:
            first = np.append(weights[0] - weights[1], first)
            second = np.append(weights[0] + weights[1], second)
        T = self.matrix.stretches[:, None] * gram[:k, k + 1 :]

        # U = B^T W
        W = np.zeros((len(gram), len(gram)))
        W[:k, :k] = np.diag(np.sqrt(alpha2 * self.matrix.S))
        new_path = np.concatenate([T @ first * scale, [1 - rates.c_c], first * scale])
        W[:, k] = math.sqrt(rates.c_1) * new_path
        W[:k, k + 1 :] = T * np.sqrt(rates.c_mu * second)
        W[k + 1 :, k + 1 :] = np.diag(np.sqrt(rates.c_mu * second))
        found = LongestAxes.of(W, gram, self.mean.size, self.directions.k)

        def combined(combination: NDArray[np.float64]) -> NDArray[np.float64]:
            """Return a combination of the rows of B, (n,)."""
            members = np.zeros(weights.size)
            members[chosen] = combination[num_vectors:]
            total = combination[:num_vectors] @ vectors
            return np.asarray(total + population.weighted_noise(members, np.float64))

        # The diagonal of U U^T, where sum w s^2 = sum w (z + T^T V)^2
        squares = population.weighted_squares(np.where(chosen, weights, 0.0), np.float64)
        squares = squares + np.sum((T * second @ T.T @ V) * V, axis=0)
        if num_probes:
            squares += second[0] * samples.probe**2
        for direction, shares in zip(V, T * second, strict=True):
            squares += 2 * direction * combined(np.concatenate([np.zeros(k + 1), shares]))
        diagonal = alpha2 * (self.matrix.S @ V**2) + rates.c_mu * squares
        diagonal += rates.c_1 * combined(new_path) ** 2

        axes = np.array([combined(row) for row in found.combinations]).reshape(-1, self.mean.size)
        return found.lengths, axes, found.rest, diagonal

    def _axes_from_matrix(
        self,
        weights: NDArray[np.float64],
        population: Population,
        samples: RestrictedSamples,
        alpha2: float,
        rates: RestrictedRates,
        path: NDArray[np.float64],
    ) -> Axes:
        """Return the longest axes of the whole matrix U U^T."""
        V = self.matrix.V
        stretches = self.matrix.stretches
        products = population.weighted_products(weights)  # sum w z z^T
        if samples.num_probes:
            products = products + (weights[0] + weights[1]) * np.outer(samples.probe, samples.probe)
        products = products + V.T @ (stretches[:, None] * (V @ products))
        products = products + (products @ V.T * stretches) @ V
        learned = alpha2 * (V.T * self.matrix.S) @ V + rates.c_mu * (products + products.T) / 2
        learned += rates.c_1 * np.outer(path, path)
        return *longest_axes_of(learned, self.directions.k), np.diag(learned)

    def should_stop(self) -> str | None:
        reason = self._range.reason(self.settings.tolerance_fun)
        return reason or out_of_range(self.deviations, self.settings.first_sigma)

    def metrics(self) -> dict[str, float]:
        return super().metrics() | {"directions": len(self.matrix.V)}
