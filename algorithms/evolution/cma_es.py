"""CMA-ES with a full covariance matrix (Hansen 2016, "The CMA Evolution Strategy: A Tutorial",
arXiv 1604.00772).

Coefficients and steps are those of the ``cma`` package 4.5, which departs from the tutorial in a
few constants; a test holds the two together to ten digits. The members' steps y = A z are never
gathered: workers sample them from the node's noise, and the sums of w z and w z z^T are shared by
all ranks.

A is the Cholesky factor of C: any square root gives the same distribution of steps, and this one
half the work. The step-size path adds up C^(-1/2) y with the symmetric root B diag(1/D) B^T, from
an eigendecomposition; with ``--factor cholesky`` it adds up z itself (Krause, Arbones, Igel 2016,
NIPS 29), which saves the decomposition and makes another search.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import Coefficients, expected_length
from esengine.algorithms.evolution.cma_termination import Termination, Tolerances
from esengine.algorithms.evolution.cma_warm_start import distribution_of, points_of
from esengine.algorithms.evolution.integer_margin import margin_of
from esengine.algorithms.evolution.matrix_square_roots import eigenbasis, square_root
from esengine.algorithms.evolution.ranking import (
    by_pair,
    by_rank,
    is_flat,
    recombination_weights,
    selection_mass,
)
from esengine.algorithms.evolution.restarts import RestartSettings
from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, GaussianSamples
from esengine.checks import at_least, positive
from esengine.errors import UserError
from esengine.noise import kernels
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace

_ARRAYS = ("mean", "p_sigma", "p_c", "A", "B", "D")  # of the state
_SMALLEST_AXIS = 2.0**-7  # of the longest one
_LINEAGES = (
    itertools.count()
)  # one number a strategy of this process, by which a pool knows whose factor it holds


@dataclass(frozen=True)
class CMAESSettings(RestartSettings):
    """Adapt a normal distribution: its mean, its step size and its full covariance matrix."""

    antithetic: ClassVar[bool] = False

    population_size: int | None = None
    """Members of a generation (lambda); default 4 + 3 ln(parameters)."""
    sigma: float = 1.0
    """Initial standard deviation of every parameter."""
    active: bool = True
    """Let the worse half of the population shrink the covariance matrix (negative weights)."""
    mirrored: bool = False
    """Sample members in pairs, mean + y and mean - y; the better one of each pair counts for the
    mean.
    """
    factor: Literal["eigen", "cholesky"] = "eigen"
    """How the step-size path is made: eigen as in the paper, cholesky without an
    eigendecomposition, for many parameters.
    """
    warm_start: str | None = None
    """Take mean, sigma and covariance matrix from the newest checkpoint of this run directory of
    cma-es.
    """
    inject: str | None = None
    """Points to evaluate among the first generation's members: a .npy file with one row a point."""
    tolerance_fun: float = 1e-11
    """Stop when the fitness of the last generations spans less than this."""
    tolerance_fun_history: float = 1e-12
    """Stop when the best fitness of the last generations spans less than this."""
    tolerance_x: float = 1e-11
    """Stop when every standard deviation is below this, times the initial sigma."""
    tolerance_x_up: float = 1e3
    """Stop when a standard deviation is above this, times the initial sigma; 0 never stops."""
    tolerance_stagnation: int | None = None
    """Stop when nothing improved over so many generations; default 100 + 100 parameters^1.5 /
    lambda, 0 never stops.
    """

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        positive(self, "sigma")
        at_least(self, 4, "population_size")
        at_least(self, 0, "tolerance_fun", "tolerance_fun_history", "tolerance_x", "tolerance_x_up")
        at_least(self, 0, "tolerance_stagnation")
        self.check_restarts()

        if self.mirrored and self.population_size is not None and self.population_size % 2:
            raise UserError(
                f"--population-size must be even with --mirrored, got {self.population_size}; use "
                f"{self.population_size + 1}"
            )

    def tolerances(self) -> Tolerances:
        """The criteria that end a search."""
        return Tolerances(
            self.tolerance_fun,
            self.tolerance_fun_history,
            self.tolerance_x,
            self.tolerance_x_up,
            self.tolerance_stagnation,
        )

    def default_population_size(self, n: int) -> int:
        """lambda as given, or the default for ``n`` parameters, even where members come in
        pairs.
        """
        size = self.population_size or 4 + int(3 * math.log(n))
        return size + size % 2 if self.mirrored else size

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return self.strategy_in(SearchSpace.free(initial.size), initial, seed)

    def strategy_in(self, space: SearchSpace, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that keeps whole numbers within reach."""
        self.check()
        later = replace(self, warm_start=None, inject=None)

        def make(
            population_size: int,
            sigma: float,
            mean: NDArray[np.float64],
            generation: int,
            own_seed: int,
        ) -> CMAES:
            settings = self if own_seed == seed else later
            return CMAES(settings, mean, own_seed, population_size, sigma, generation, space)

        return self.search(
            make, self.default_population_size(initial.size), self.sigma, initial, seed
        )


class CMAES:
    """The strategy. Its state is plain arrays: mean, sigma, C, the two paths, and the factor that
    is in use.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
        population_size: lambda, if it is not the settings'.
        sigma: the first step size, if it is not the settings'.
        generation: number of generations of the run before this search began.
        space: what is searched, if it is more than all vectors.
    """

    varying_state: ClassVar[tuple[str, ...]] = ("injected",)  # arrays that a state may have or lack

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
        settings.check()
        n = initial.size
        space = space or SearchSpace.free(n)
        self.settings, self.seed = settings, seed
        self.population_size = population_size or settings.default_population_size(n)
        self.coefficients = Coefficients.default(n, self.population_size, settings.active)
        self.generation = generation
        self.mean = np.array(initial, np.float64)
        self.sigma = settings.sigma if sigma is None else sigma
        self.C = np.eye(n)
        self.p_sigma, self.p_c = np.zeros(n), np.zeros(n)
        self.A: NDArray[np.float64] = np.eye(n)  # C = A A^T when last decomposed
        self.B: NDArray[np.float64] = np.eye(n if settings.factor == "eigen" else 0)
        self.D = np.ones(len(self.B))  # C = B diag(D^2) B^T then
        self._lineage = next(_LINEAGES)
        self._decomposed = generation
        k = self.coefficients
        self._gap = 1 / (10 * n * (k.c_1 + k.c_mu))  # generations between decompositions
        self._triangular = True  # whether A is
        self._panels = np.zeros((0, n, kernels.PANEL))
        self._injected: NDArray[np.float64] | None = None
        if generation == 0 and settings.warm_start is not None:
            self.mean, self.sigma, self.C = distribution_of(settings.warm_start, n)
            self._decompose()
        if generation == 0 and settings.inject is not None:
            self.inject(space.rows(points_of(settings.inject, space)))
        self._margin = margin_of(space, self.population_size)
        self._factors = (
            None if self._margin is None else np.ones(n)
        )  # of the margin, on what is sampled
        patience = 10 * space.lattice.indices.size
        self._termination = Termination(
            settings.tolerances(), self.population_size, self.mean, self.sigma, patience
        )

    def inject(self, points: NDArray[np.floating]) -> None:
        """Make points, (num_points, n), the first members of the next generation; they are learned
        from like samples.

        A step that is longer than almost any sample would be is shortened to the limit when it is
        learned from (Hansen 2011, arXiv 1110.4181).

        Raises:
            ValueError: more points than members, or of another dimension.
        """
        if (
            points.ndim != 2
            or points.shape[1] != self.mean.size
            or len(points) > self.population_size
        ):
            raise ValueError(
                f"points must have shape (up to {self.population_size}, {self.mean.size}), got "
                f"{points.shape}"
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
        check_results(self, candidates, fitness)
        if not is_flat(fitness):  # else there is nothing to learn, and nothing to forget
            self._learn(fitness, population)
        self.generation += 1
        self._injected = None
        if self.generation >= self._decomposed + self._gap:
            self._decompose()
        self._termination.remember(fitness, self.mean)

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        k, n, mirrored = self.coefficients, self.mean.size, self.settings.mirrored
        rank = by_pair if mirrored else by_rank
        weights, positive = (
            rank(fitness, k.weights),
            recombination_weights(fitness, k.weights, rank),
        )
        acting = positive.copy()
        if mirrored and self._injected is None:  # the steps of a tied pair cancel
            acting[::2], acting[1::2] = positive[::2] - positive[1::2], 0
        if not acting.any():
            return  # no pair tells where it is better; what pairs tell of each other is given up
        mass = selection_mass(acting)
        z_w, y_w, rank_mu = self._moments(weights, positive, population)
        self.mean = self.mean + self.sigma * y_w  # eq. 42
        whitened = (
            self.B @ (y_w @ self.B / self.D) if self.settings.factor == "eigen" else z_w
        )  # C^(-1/2) y_w
        self.p_sigma = (1 - k.c_sigma) * self.p_sigma + math.sqrt(
            k.c_sigma * (2 - k.c_sigma) * mass
        ) * whitened  # eq. 43
        length = float(self.p_sigma @ self.p_sigma)
        h_sigma = length / (
            1 - (1 - k.c_sigma) ** (2 * (self._termination.age + 1))
        ) / n < 2 + 4 / (n + 1)
        self.p_c = (1 - k.c_c) * self.p_c + h_sigma * math.sqrt(
            k.c_c * (2 - k.c_c) * mass
        ) * y_w  # eq. 45
        c_1a = k.c_1 * (1 - (1 - h_sigma) * k.c_c * (2 - k.c_c))
        decay = 1 - c_1a - k.c_mu * float(weights.sum())
        kernels.adapt_covariance(self.C, decay, rank_mu, k.c_1, self.p_c)  # eq. 47
        self.sigma *= math.exp(
            min(1.0, k.c_sigma / k.d_sigma * (math.sqrt(length) / expected_length(n) - 1))
        )  # eq. 44
        if self._margin is not None and self._factors is not None:
            deviations = self.sigma * np.sqrt(np.diag(self.C))
            self.mean, self._factors = self._margin.corrected(self.mean, deviations, self._factors)

    def _moments(
        self, weights: NDArray[np.float64], positive: NDArray[np.float64], population: Population
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """sum w+ z, sum w+ y and c_mu sum w y y^T; a negative weight is rescaled by n / |z|^2 to
        bound its effect (eq. 46).
        """
        given = 0 if self._injected is None else len(self._injected)
        rescaled, negative = weights.copy(), weights < 0
        steps, normals = self._given_steps()
        lengths = np.zeros(weights.size)
        lengths[:given] = np.sum(normals**2, axis=1)
        negative[:given] = False
        lengths[negative] = population.squared_lengths(negative)
        shrunk = weights < 0
        rescaled[shrunk] *= self.mean.size / (np.sqrt(lengths[shrunk]) + 1e-9) ** 2
        z_w = population.weighted_noise(positive, np.float64) + positive[:given] @ normals
        rescaled *= self.coefficients.c_mu
        rank_mu = population.covariance(rescaled)
        if given:
            products = (rescaled[:given, None] * steps).T @ steps
            rank_mu += (products + products.T) / 2
        y_w = self.A @ z_w
        return z_w, y_w, rank_mu

    def _given_steps(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """y and z = A^(-1) y of the injected points, both (num_points, n)."""
        n = self.mean.size
        if self._injected is None:
            return np.zeros((0, n)), np.zeros((0, n))
        steps = (self._injected - self.mean) / (
            self.sigma if self._factors is None else self.sigma * self._factors
        )
        normals = np.linalg.solve(self.A, steps.T).T
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        shortened = np.minimum(1.0, (math.sqrt(n) + 2 * n / (n + 2)) / np.maximum(lengths, 1e-300))
        return shortened * steps, shortened * normals

    def _decompose(self) -> None:
        """New factors of C."""
        basis = None
        if self.settings.factor == "eigen":
            basis = self.B, self.D = eigenbasis(self.C)
        self.A, self._triangular = square_root(self.C, basis)
        if (largest := float(self._axes()[-1])) < _SMALLEST_AXIS:
            self._move_scale(2.0 ** math.floor(math.log2(largest)))
        self._panels = kernels.pack_panels(self.A)
        self._decomposed = self.generation

    def _move_scale(self, factor: float) -> None:
        """Move a factor from the axes of C to sigma: what is sampled stays the same, bit for bit
        with a power of 2.

        Where a generation replaces nearly all of the matrix, selection shrinks it every time and
        sigma makes up for that.
        """
        self.sigma *= factor
        self.C /= factor**2
        self.A, self.D, self.p_c = self.A / factor, self.D / factor, self.p_c / factor

    def _axes(self) -> NDArray[np.float64]:
        """Square roots of C's eigenvalues, ascending; without an eigendecomposition A's diagonal,
        which they enclose.
        """
        return self.D if self.settings.factor == "eigen" else np.sort(np.abs(np.diag(self.A)))

    def should_stop(self) -> str | None:
        deviations = self.sigma * np.sqrt(np.diag(self.C))
        reason = self._termination.reason(
            self.sigma, self.mean, deviations, self._axes(), self.sigma * self.p_c
        )
        if reason is None and self.settings.factor == "eigen" and self._termination.age:
            axis = self._termination.age % self.mean.size
            if np.all(self.mean == self.mean + 0.1 * self.sigma * self.D[axis] * self.B[:, axis]):
                return "a tenth of a standard deviation along an axis no longer changes the mean"
        return reason

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        axes = self._axes()
        return {"sigma": self.sigma, "axis_ratio": float(axes[-1] / axes[0])}

    def state(self) -> State:
        numbers = {
            "generation": self.generation,
            "sigma": self.sigma,
            "decomposed": self._decomposed,
        }
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {"C": self.C.copy(), **self._termination.state()}
        if self._injected is not None:
            arrays["injected"] = self._injected
        if self._factors is not None:
            arrays["factors"] = self._factors
        return {**arrays, **{name: np.array(value) for name, value in numbers.items()}}

    def restore(self, state: State) -> None:
        for name in _ARRAYS:
            setattr(self, name, state[name])
        self.C = np.array(state["C"])
        self.generation, self._decomposed = int(state["generation"]), int(state["decomposed"])
        self.sigma = float(state["sigma"])
        self._injected, self._factors = state.get("injected"), state.get("factors")
        self._panels = kernels.pack_panels(self.A)
        self._triangular = not np.triu(self.A, 1).any()
        self._termination.restore(state)
