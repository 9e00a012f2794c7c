"""CMA-ES with a full covariance matrix (Hansen 2016, "The CMA Evolution Strategy: A Tutorial",
arXiv 1604.00772).

Coefficients and steps are those of the ``cma`` package 4.5, which differs from the tutorial in a
few constants; a test compares the two to ten digits. The members' steps y = A z are never gathered.
Every rank samples its own members, and all ranks together compute the sums of w z and w z z^T.

A is the Cholesky factor of C. Any square root gives the same distribution of steps; this one takes
half the work. The step-size path accumulates C^(-1/2) y with the symmetric root B diag(1/D) B^T,
which needs an eigendecomposition. With ``--factor cholesky`` it accumulates z instead (Krause,
Arbones, Igel 2016, NIPS 29), which needs none but gives a different search.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import (
    Coefficients,
    default_population_size,
    expected_length,
)
from esengine.algorithms.evolution.cma_termination import Termination, Tolerances
from esengine.algorithms.evolution.cma_warm_start import distribution_of, points_of
from esengine.algorithms.evolution.integer_margin import margin_of
from esengine.algorithms.evolution.matrix_square_roots import eigenbasis, square_root
from esengine.algorithms.evolution.mean_search import DistributionSettings, MeanSearch
from esengine.algorithms.evolution.population_adaptation import (
    PopulationAdaptation,
    PopulationSettings,
    best_step_size,
)
from esengine.algorithms.evolution.ranking import (
    by_pair,
    by_rank,
    pair_differences,
    recombination_weights,
    selection_mass,
)
from esengine.algorithms.evolution.restarts import RestartSettings
from esengine.algorithms.evolution.surrogate_search import SurrogateSearch, SurrogateSettings
from esengine.algorithms.saved_state import with_prefix
from esengine.algorithms.strategy import State, Strategy
from esengine.candidates import Candidates, GaussianSamples
from esengine.errors import UserError
from esengine.noise import kernels
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace

_SMALLEST_AXIS = 2.0**-7  # below which the longest axis of C is moved to sigma
_LINEAGES = itertools.count()  # one number per strategy, which tells a pool whose factor it has


@dataclass(frozen=True)
class CMAESSettings(
    Tolerances, DistributionSettings, RestartSettings, SurrogateSettings, PopulationSettings
):
    """Adapt a normal distribution: its mean, its step size and its full covariance matrix."""

    active: bool = True
    """Let the worse half of the population shrink the covariance matrix (negative weights)."""
    mirrored: bool = False
    """Sample members in pairs, mean + y and mean - y; only the better one of each pair moves the
    mean.
    """
    factor: Literal["eigen", "cholesky"] = "eigen"
    """How to compute the step-size path: eigen as in the paper, cholesky without an
    eigendecomposition, for many parameters.
    """
    warm_start: str | None = None
    """Start from the mean, sigma and covariance matrix in the newest checkpoint of this cma-es run
    directory.
    """
    inject: str | None = None
    """File of points to evaluate in the first generation: .npy, one point per row."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        self.check_tolerances()
        self.check_restarts()
        self.check_surrogate()
        self.check_adaptation()
        if self.adapt_population == "on" and self.factor == "cholesky":
            raise UserError(
                "--adapt-population on must be used with --factor eigen, since it measures the "
                "distribution along its axes, got cholesky; use --adapt-population off"
            )
        if self.adapt_population == "on" and self.surrogate != "none":
            raise UserError(
                f"--adapt-population on must be used without a surrogate, which ranks populations "
                f"of one size, got --surrogate {self.surrogate}; use --adapt-population off"
            )

        if self.mirrored and self.population_size is not None and self.population_size % 2:
            raise UserError(
                f"--population-size must be even with --mirrored, got {self.population_size}; use "
                f"{self.population_size + 1}"
            )

    def for_noise(self, is_noisy: bool) -> CMAESSettings:
        """The same settings with auto replaced; on only where nothing else excludes it."""
        excluded = self.factor == "cholesky" or self.surrogate != "none"
        return super().for_noise(is_noisy and not excluded)

    def default_population_size(self, n: int) -> int:
        """Return lambda as set, or the default for ``n`` parameters; even for mirrored pairs."""
        size = self.population_size or default_population_size(n)
        return size + size % 2 if self.mirrored else size

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return self.strategy_in(SearchSpace.free(initial.size), initial, seed)

    def strategy_in(self, space: SearchSpace, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy for a space; integer variables keep a least probability to change."""
        self.check()
        size = self.default_population_size(initial.size)
        later = replace(self, warm_start=None, inject=None)

        def make(
            mean: NDArray[np.float64], own_seed: int, size: int, sigma: float, generation: int
        ) -> Strategy:
            settings = self if own_seed == seed else later
            if self.surrogate == "none":
                return CMAES(settings, mean, own_seed, size, sigma, generation, space)
            search = CMAES(settings, mean, own_seed, size, sigma, space=space)
            return SurrogateSearch(search, self.surrogate_batch, generation)

        return self.search(make, size, self.first_sigma, initial, seed)


class CMAES(MeanSearch):
    """The strategy. Its state is the mean, sigma, C, the two paths, the square roots of C in use,
    and the histories of the stopping criteria.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
        population_size: lambda; None takes it from the settings.
        sigma: the first step size; None takes it from the settings.
        generation: number of generations of the run before this search.
        space: the search space, or None for all vectors.
    """

    saved = (
        *MeanSearch.saved,
        "C",
        "p_sigma",
        "p_c",
        "A",
        "B",
        "D",
        "_decomposed",
        "_injected",
        "_factors",
        "_stop",
        "_adaptation",
    )
    varying_state = ("injected", "adaptation/")
    settings: CMAESSettings

    def __init__(
        self,
        settings: CMAESSettings,
        initial: NDArray[np.floating],
        seed: int,
        population_size: int | None = None,
        sigma: float | None = None,
        generation: int = 0,
        space: SearchSpace | None = None,
    ) -> None:
        n = initial.size
        space = space or SearchSpace.free(n)
        size = population_size or settings.default_population_size(n)
        super().__init__(settings, initial, seed, size, np.float64)
        self.sigma = settings.first_sigma if sigma is None else sigma
        self.generation = generation

        self.C = np.eye(n)
        self.p_sigma = np.zeros(n)
        self.p_c = np.zeros(n)
        self.A: NDArray[np.float64] = np.eye(n)  # C = A A^T when last decomposed
        self.B: NDArray[np.float64] = np.eye(n if settings.factor == "eigen" else 0)
        self.D = np.ones(len(self.B))  # C = B diag(D^2) B^T when last decomposed
        self._triangular = True  # whether A is lower triangular
        self._panels = np.zeros((0, n, kernels.PANEL))  # A as the kernels read it
        self._lineage = next(_LINEAGES)
        self._decomposed = generation
        self._gap = 0.0  # generations between decompositions
        self._take_size(size)

        self._injected: NDArray[np.float64] | None = None
        if generation == 0 and settings.warm_start is not None:
            self.mean, self.sigma, self.C = distribution_of(settings.warm_start, n)
            self._decompose()
        if generation == 0 and settings.inject is not None:
            self.inject(space.rows(points_of(settings.inject, space)))

        self._margin = margin_of(space, size)
        self._factors = None if self._margin is None else np.ones(n)  # on sampled deviations
        self._adaptation = (
            PopulationAdaptation(n, size) if settings.adapt_population == "on" else None
        )
        patience = 10 * space.lattice.indices.size
        self._stop = Termination(settings, size, self.mean, self.sigma, patience)

    def inject(self, points: NDArray[np.floating]) -> None:
        """Make points the first members of the next generation; they count like sampled members.

        A step longer than almost any sample is shortened before the update uses it (Hansen 2011,
        arXiv 1110.4181).

        Args:
            points: (num_points, n).

        Raises:
            ValueError: more points than members, or another dimension.
        """
        n = self.mean.size
        if points.ndim != 2 or points.shape[1] != n or len(points) > self.population_size:
            raise ValueError(
                f"points must have shape (up to {self.population_size}, {n}), got {points.shape}"
            )
        self._injected = points.astype(np.float64)

    def ask(self) -> GaussianSamples:
        return GaussianSamples(
            self.seed,
            self.generation + 1,
            self.population_size,
            self.sigma,
            self.mean,
            self._panels,
            self._lineage,
            self._decomposed,
            self.settings.mirrored,
            self._triangular,
            self._injected,
            self._factors,
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        super().tell(candidates, fitness, population)
        self._injected = None
        if self.generation >= self._decomposed + self._gap:
            self._decompose()
        self._stop.remember(fitness, self.mean)

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        n = self.mean.size
        k = self.coefficients

        old_sigma = self.sigma
        old_matrix = None if self._adaptation is None else self.C.copy()

        # Selection and recombination
        rank = by_pair if self.settings.mirrored else by_rank
        weights = rank(fitness, k.weights)
        positive = recombination_weights(fitness, k.weights, rank)
        acting = positive
        if self.settings.mirrored and self._injected is None:
            acting = pair_differences(positive)  # the steps of a tied pair cancel
        if not acting.any():
            return  # all pairs are tied, so that no direction is better
        mass = selection_mass(acting)
        z_w, y_w, rank_mu = self._moments(weights, positive, population)
        self.mean = self.mean + self.sigma * y_w  # eq. 42

        # Step-size control
        eigen = self.settings.factor == "eigen"
        whitened = self.B @ (y_w @ self.B / self.D) if eigen else z_w  # C^(-1/2) y_w
        scale = math.sqrt(k.c_sigma * (2 - k.c_sigma) * mass)
        self.p_sigma = (1 - k.c_sigma) * self.p_sigma + scale * whitened  # eq. 43
        length = float(self.p_sigma @ self.p_sigma)
        change = k.c_sigma / k.d_sigma * (math.sqrt(length) / expected_length(n) - 1)
        self.sigma *= math.exp(min(1.0, change))  # eq. 44

        # Covariance matrix adaptation
        unbiased = length / (1 - (1 - k.c_sigma) ** (2 * (self._stop.age + 1)))
        h_sigma = unbiased / n < 2 + 4 / (n + 1)
        scale = h_sigma * math.sqrt(k.c_c * (2 - k.c_c) * mass)
        self.p_c = (1 - k.c_c) * self.p_c + scale * y_w  # eq. 45
        c_1a = k.c_1 * (1 - (1 - h_sigma) * k.c_c * (2 - k.c_c))
        decay = 1 - c_1a - k.c_mu * float(weights.sum())
        kernels.adapt_covariance(self.C, decay, rank_mu, k.c_1, self.p_c)  # eq. 47

        # Population size adaptation
        if self._adaptation is not None and old_matrix is not None:
            moved = (self.sigma / old_sigma) ** 2 * self.C - old_matrix
            size = self._adaptation.adapt(
                k, h_sigma, whitened, self._whitened(moved), population.reliability
            )
            self._become_of(size + size % 2 if self.settings.mirrored else size)

        # Margin for integer variables
        if self._margin is not None and self._factors is not None:
            deviations = self.sigma * np.sqrt(np.diag(self.C))
            self.mean, self._factors = self._margin.corrected(self.mean, deviations, self._factors)

    def _moments(
        self, weights: NDArray[np.float64], positive: NDArray[np.float64], population: Population
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return z_w = sum w+ z, y_w = sum w+ y and c_mu sum w y y^T.

        A negative weight is multiplied by n / |z|^2, which bounds its effect (eq. 46).

        Args:
            weights: (population_size,) w, negative ones included.
            positive: (population_size,) w+, the weights of the new mean.
            population: of the generation.

        Returns:
            (n,), (n,) and (n, n) float64.
        """
        steps, normals = self._given_steps()
        given = len(steps)

        # Negative weights (eq. 46)
        negative = weights < 0
        sampled = negative.copy()
        sampled[:given] = False
        lengths = np.zeros(weights.size)
        lengths[:given] = np.sum(normals**2, axis=1)
        lengths[sampled] = population.squared_lengths(sampled)
        rescaled = weights.copy()
        rescaled[negative] *= self.mean.size / (np.sqrt(lengths[negative]) + 1e-9) ** 2
        rescaled *= self.coefficients.c_mu

        # Sums over sampled and injected members
        z_w = population.weighted_noise(positive, np.float64) + positive[:given] @ normals
        y_w = self.A @ z_w
        rank_mu = population.covariance(rescaled)
        if given:
            products = (rescaled[:given, None] * steps).T @ steps
            rank_mu += (products + products.T) / 2
        return z_w, y_w, rank_mu

    def _whitened(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return C^(-1/2) times a matrix times C^(-1/2), (n, n)."""
        inner = self.B.T @ change @ self.B / np.outer(self.D, self.D)
        return np.asarray(self.B @ inner @ self.B.T)

    def _become_of(self, size: int) -> None:
        """Take another population size, and the step size that is as good for it."""
        if size == self.population_size:
            return
        n = self.mean.size
        before = best_step_size(n, self.coefficients)
        self._take_size(size)
        self.sigma *= best_step_size(n, self.coefficients) / before

    def _take_size(self, size: int) -> None:
        """Take a population size with its coefficients."""
        self.population_size = size
        self.coefficients = Coefficients.default(self.mean.size, size, self.settings.active)
        rates = self.coefficients.c_1 + self.coefficients.c_mu
        self._gap = 1 / (10 * self.mean.size * rates)

    def _given_steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return y and z = A^(-1) y of the injected points, both (num_points, n)."""
        n = self.mean.size
        if self._injected is None:
            return np.zeros((0, n)), np.zeros((0, n))

        scale = self.sigma if self._factors is None else self.sigma * self._factors
        steps = (self._injected - self.mean) / scale
        normals = np.linalg.solve(self.A, steps.T).T
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        shortened = np.minimum(1.0, (math.sqrt(n) + 2 * n / (n + 2)) / np.maximum(lengths, 1e-300))
        return shortened * steps, shortened * normals

    def _decompose(self) -> None:
        """Compute new square roots of C."""
        basis = None
        if self.settings.factor == "eigen":
            basis = eigenbasis(self.C)
            self.B, self.D = basis
        self.A, self._triangular = square_root(self.C, basis)

        longest = float(self._axes()[-1])
        if longest < _SMALLEST_AXIS:
            self._move_scale(2.0 ** math.floor(math.log2(longest)))
        self._panels = kernels.pack_panels(self.A)
        self._decomposed = self.generation

    def _move_scale(self, factor: float) -> None:
        """Move a factor from the axes of C to sigma. A power of 2 changes no bit of the samples.

        Where one generation replaces nearly all of the matrix, selection shrinks C every time and
        sigma grows to compensate.
        """
        self.sigma *= factor
        self.C /= factor**2
        self.A = self.A / factor
        self.D = self.D / factor
        self.p_c = self.p_c / factor

    def _axes(self) -> NDArray[np.float64]:
        """Return the square roots of C's eigenvalues in ascending order, (n,).

        Without an eigendecomposition return the sorted diagonal of A, whose range lies in theirs.
        """
        return self.D if self.settings.factor == "eigen" else np.sort(np.abs(np.diag(self.A)))

    def should_stop(self) -> str | None:
        deviations = self.sigma * np.sqrt(np.diag(self.C))
        reason = self._stop.reason(
            self.sigma, self.mean, deviations, self._axes(), self.sigma * self.p_c
        )
        if reason is None and self.settings.factor == "eigen" and self._stop.age:
            axis = self._stop.age % self.mean.size
            if np.all(self.mean == self.mean + 0.1 * self.sigma * self.D[axis] * self.B[:, axis]):
                return "a tenth of a standard deviation along an axis no longer changes the mean"
        return reason

    def metrics(self) -> dict[str, float]:
        axes = self._axes()
        return super().metrics() | {"axis_ratio": float(axes[-1] / axes[0])}

    def restore(self, state: State) -> None:
        if self._adaptation is not None and "adaptation/size" not in state:
            state = state | with_prefix("adaptation/", self._adaptation.state())
        super().restore(state)
        if self._adaptation is not None:
            size = round(self._adaptation.size)
            self._take_size(size + size % 2 if self.settings.mirrored else size)
        self._panels = kernels.pack_panels(self.A)
        self._triangular = not np.triu(self.A, 1).any()
