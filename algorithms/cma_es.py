"""CMA-ES with a full covariance matrix (Hansen 2016, "The CMA Evolution Strategy: A Tutorial", arXiv 1604.00772).

Coefficients and steps are those of the ``cma`` package 4.5, which departs from the tutorial in a few constants; a test holds
the two together to ten digits. The members' steps y are never gathered: workers sample them from the node's noise, and send
back one partial sum of w y and w y y^T for each chunk of members.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.ranking import by_rank
from esengine.algorithms.strategy import State, check_results
from esengine.candidates import Candidates, GaussianSamples
from esengine.errors import UserError
from esengine.pool import Population


@dataclass(frozen=True)
class CMAESSettings:
    """Adapt a normal distribution: its mean, its step size and its full covariance matrix."""

    antithetic: ClassVar[bool] = False

    population_size: int | None = None
    """Members of a generation (lambda); default 4 + 3 ln(parameters)."""
    sigma: float = 1.0
    """Initial standard deviation of every parameter."""
    active: bool = True
    """Let the worse half of the population shrink the covariance matrix (negative weights)."""
    tolerance_fun: float = 1e-11
    """Stop when the fitness of the last generations spans less than this."""
    tolerance_x: float = 1e-11
    """Stop when every standard deviation is below this, times the initial sigma."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise UserError(f"--sigma must be positive, got {self.sigma}; {CMAESSettings.sigma} is the default")
        if self.population_size is not None and self.population_size < 4:
            raise UserError(f"--population-size must be at least 4 for CMA-ES, got {self.population_size}; use 4 or more")
        if self.tolerance_fun < 0 or self.tolerance_x < 0:
            raise UserError(
                "--tolerance-fun and --tolerance-x must not be negative, "
                f"got {self.tolerance_fun} and {self.tolerance_x}; 0 never stops"
            )

    def strategy(self, initial: NDArray[np.floating], seed: int) -> CMAES:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return CMAES(self, initial, seed)


@dataclass(frozen=True)
class Coefficients:
    """Weights and learning rates for n parameters and lambda members.

    Attributes:
        weights: (lambda,) by rank; the positive ones sum to 1, the negative ones act on the covariance only.
        mu_eff: variance-effective selection mass of the positive weights.
        c_sigma, d_sigma: learning rate and damping of the step size.
        c_c, c_1, c_mu: learning rates of the path, of the rank-one and of the rank-mu update.
    """

    weights: NDArray[np.float64]
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float

    @classmethod
    def default(cls, n: int, population_size: int, active: bool) -> Coefficients:
        """The defaults of ``cma`` 4.5; equation numbers are the tutorial's."""
        raw = math.log((population_size + 1) / 2) - np.log(np.arange(1, population_size + 1))  # eq. 49
        positive, negative = np.maximum(raw, 0), np.minimum(raw, 0)
        weights = positive / positive.sum()
        mu_eff = 1 / float(np.sum(weights**2))  # eq. 8
        c_1 = min(1, population_size / 6) * 2 / ((n + 1.3) ** 2 + mu_eff)  # eq. 57
        c_mu = min(1 - c_1, 2 * (mu_eff - 1.75 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))  # eq. 58
        if active:
            share = -negative / negative.sum()  # sums to -1
            mu_eff_minus = 1 / float(np.sum(share**2))
            limits = (1 + c_1 / c_mu, (1 - c_1 - c_mu) / (n * c_mu), 1 + 2 * mu_eff_minus / (mu_eff + 2))  # eq. 50-52
            weights = weights + min(limits) * share
        c_sigma = min(0.5, (mu_eff + 2) / (n + mu_eff + 3))  # eq. 55, with +3 for the tutorial's +5
        inner = max(1.0, 3 * (1 - 0.5 ** (n / 9)))
        mirrors = int(0.5 + 0.16 * min(population_size, 2 * n + 2) + 0.29) if population_size < 6 else 0
        d_sigma = 0.5 + min(1.0, (mirrors / (0.159 * population_size) - 1) ** 2) / 2 + c_sigma  # eq. 55
        d_sigma += 2 * max(0.0, inner * math.sqrt((mu_eff - 1) / (n + 1)) - 1)
        c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)  # eq. 56
        return cls(weights, mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu)


class CMAES:
    """The strategy. Its state is plain arrays: mean, sigma, C, the two paths, and the decomposition that is in use.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    def __init__(self, settings: CMAESSettings, initial: NDArray[np.floating], seed: int) -> None:
        settings.check()
        n = initial.size
        self.settings, self.seed = settings, seed
        self.population_size = settings.population_size or 4 + int(3 * math.log(n))
        self.coefficients = Coefficients.default(n, self.population_size, settings.active)
        self.generation = 0
        self.mean = np.array(initial, np.float64)
        self.sigma = settings.sigma
        self.C = np.eye(n)
        self.p_sigma, self.p_c = np.zeros(n), np.zeros(n)
        self.B, self.D = np.eye(n), np.ones(n)  # C = B diag(D^2) B^T when last decomposed
        self._decomposed = 0
        self._history = np.zeros(0)  # best fitness of the last generations, newest last
        self._spread = np.inf  # of the last generation's fitness

    def ask(self) -> GaussianSamples:
        return GaussianSamples(self.seed, self.generation + 1, self.population_size, self.sigma, self.mean, self.B * self.D)

    def tell(self, candidates: Candidates, fitness: NDArray[np.float64], population: Population) -> None:
        check_results(self, candidates, fitness)
        k, n = self.coefficients, self.mean.size
        weights = by_rank(fitness, k.weights)
        y_w, rank_mu = population.moments(weights)  # sum w+ y, sum w y y^T
        self.generation += 1
        self.mean = self.mean + self.sigma * y_w  # eq. 42
        whitened = self.B @ ((self.B.T @ y_w) / self.D)  # C^(-1/2) y_w
        self.p_sigma = (1 - k.c_sigma) * self.p_sigma + math.sqrt(k.c_sigma * (2 - k.c_sigma) * k.mu_eff) * whitened  # eq. 43
        length = float(self.p_sigma @ self.p_sigma)
        h_sigma = length / (1 - (1 - k.c_sigma) ** (2 * self.generation)) / n < 2 + 4 / (n + 1)
        self.p_c = (1 - k.c_c) * self.p_c + h_sigma * math.sqrt(k.c_c * (2 - k.c_c) * k.mu_eff) * y_w  # eq. 45
        c_1a = k.c_1 * (1 - (1 - h_sigma) * k.c_c * (2 - k.c_c))
        decay = 1 - c_1a - k.c_mu * float(weights.sum())
        self.C = decay * self.C + k.c_1 * np.outer(self.p_c, self.p_c) + k.c_mu * rank_mu  # eq. 47
        self.sigma *= math.exp(min(1.0, k.c_sigma / k.d_sigma * (math.sqrt(length) / expected_length(n) - 1)))  # eq. 44
        if self.generation >= self._decomposed + 1 / (10 * n * (k.c_1 + k.c_mu)):
            self._decompose()
        self._remember(fitness)

    def _decompose(self) -> None:
        self.C = (self.C + self.C.T) / 2
        eigenvalues, self.B = np.linalg.eigh(self.C)
        self.D = np.sqrt(np.maximum(eigenvalues, eigenvalues[-1] * 1e-15))
        self._decomposed = self.generation

    def _remember(self, fitness: NDArray[np.float64]) -> None:
        valid = fitness[np.isfinite(fitness)]
        if valid.size:
            window = 10 + int(30 * self.mean.size / self.population_size)
            self._history = np.append(self._history, valid.max())[-window:]
            self._spread = float(np.ptp(valid))

    def should_stop(self) -> str | None:
        n, settings = self.mean.size, self.settings
        window = 10 + int(30 * n / self.population_size)
        deviations = self.sigma * np.maximum(np.sqrt(np.diag(self.C)), np.abs(self.p_c))
        if self.generation and np.all(deviations < settings.tolerance_x * settings.sigma):
            return f"every standard deviation is below {settings.tolerance_x * settings.sigma:.1e} (--tolerance-x)"
        if self._history.size >= window and max(np.ptp(self._history), self._spread) < settings.tolerance_fun:
            return f"fitness spans less than {settings.tolerance_fun:.1e} over {window} generations (--tolerance-fun)"
        if self.D[-1] > 1e7 * self.D[0]:
            return "the covariance matrix has condition 1e14"
        if not self.sigma * self.D[-1] < 1e12 * settings.sigma:
            return f"the distribution grew to {self.sigma * self.D[-1]:.1e}: the search runs away; bound the objective"
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.sigma, "axis_ratio": float(self.D[-1] / self.D[0])}

    def state(self) -> State:
        numbers = {"generation": self.generation, "sigma": self.sigma, "decomposed": self._decomposed, "spread": self._spread}
        arrays = {name: getattr(self, name) for name in ("mean", "C", "p_sigma", "p_c", "B", "D")}
        return {**arrays, "history": self._history, **{name: np.array(value) for name, value in numbers.items()}}

    def restore(self, state: State) -> None:
        for name in ("mean", "C", "p_sigma", "p_c", "B", "D"):
            setattr(self, name, state[name])
        self.generation, self._decomposed = int(state["generation"]), int(state["decomposed"])
        self.sigma, self._spread = float(state["sigma"]), float(state["spread"])
        self._history = state["history"]


def expected_length(n: int) -> float:
    """E|N(0, I)| in n dimensions, exact."""
    return math.sqrt(2) * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))
