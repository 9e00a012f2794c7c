"""sep-CMA-ES: CMA-ES with a diagonal covariance matrix (Ros, Hansen 2008, doi
10.1007/978-3-540-87700-4_30).

Time and memory are linear in the parameters. The rank-one and rank-mu rates are those of the full
matrix times (n + 2) / 3, and then clamped so that together they never exceed 1, which the paper's
own rates do for large populations.

Negative weights are left out: their bound needs the length of each member's noise, which no slice
of coordinates has. The cma package's CMA_diagonal is another algorithm, so this one is not compared
with it step by step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import Coefficients, expected_length
from esengine.algorithms.evolution.integer_margin import margin_of
from esengine.algorithms.evolution.ranking import is_flat, recombination_weights, selection_mass
from esengine.algorithms.strategy import State, check_results, out_of_range
from esengine.candidates import Candidates, ScaledSamples
from esengine.checks import at_least, positive
from esengine.pool.population import Population
from esengine.problems.search_space import SearchSpace


@dataclass(frozen=True)
class SepCMAESSettings:
    """Adapt a normal distribution with a diagonal covariance matrix, at a cost linear in the
    parameters.
    """

    antithetic: ClassVar[bool] = False

    population_size: int | None = None
    """Members of a generation (lambda); default 4 + 3 ln(parameters)."""
    sigma: float = 1.0
    """Initial standard deviation of every parameter."""
    tolerance_fun: float = 1e-11
    """Stop when the fitness of the last generations spans less than this."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        positive(self, "sigma")
        at_least(self, 4, "population_size")
        at_least(self, 0, "tolerance_fun", way_out="0 never stops")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> SepCMAES:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return SepCMAES(self, initial, seed)

    def strategy_in(self, space: SearchSpace, initial: NDArray[np.floating], seed: int) -> SepCMAES:
        """A new strategy that keeps whole numbers within reach."""
        return SepCMAES(self, initial, seed, space)


class SepCMAES:
    """The strategy. Its state is plain arrays of n numbers: mean, variances (the diagonal of C) and
    the two paths.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
        space: what is searched, if it is more than all vectors.
    """

    def __init__(
        self,
        settings: SepCMAESSettings,
        initial: NDArray[np.floating],
        seed: int,
        space: SearchSpace | None = None,
    ) -> None:
        settings.check()
        n = initial.size
        self.settings, self.seed = settings, seed
        self.population_size = settings.population_size or 4 + int(3 * math.log(n))
        self.coefficients = separable(
            Coefficients.default(n, self.population_size, active=False), n
        )
        self.generation = 0
        self.mean = np.array(initial, np.float64)
        self.sigma = settings.sigma
        self.variances = np.ones(n)
        self.p_sigma, self.p_c = np.zeros(n), np.zeros(n)
        self._history = np.zeros(0)  # best fitness of the last generations, newest last
        self._spread = np.inf  # of the last generation's fitness
        space = space or SearchSpace.free(n)
        self._margin = margin_of(space, self.population_size)
        self._factors = np.ones(n)  # of the margin, on what is sampled
        self._window = 10 + int(30 * n / self.population_size) + 10 * space.lattice.indices.size
        self._dtype = initial.dtype

    @property
    def deviations(self) -> NDArray[np.float64]:
        """Standard deviation of every parameter, (n,)."""
        return self.sigma * np.sqrt(self.variances)

    def ask(self) -> ScaledSamples:
        mean, deviations = (
            self.mean.astype(self._dtype),
            (self.deviations * self._factors).astype(self._dtype),
        )
        return ScaledSamples(
            self.seed, self.generation + 1, self.population_size, False, mean, deviations
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        self.generation += 1
        if not is_flat(fitness):
            self._learn(recombination_weights(fitness, self.coefficients.weights), population)
        self._remember(fitness)

    def _learn(self, weights: NDArray[np.float64], population: Population) -> None:
        k, n, mass = self.coefficients, self.mean.size, selection_mass(weights)
        z_w = population.weighted_noise(weights).astype(np.float64)  # C^(-1/2) y_w
        rank_mu = self.variances * population.weighted_squares(weights)  # sum w y^2
        y_w = np.sqrt(self.variances) * z_w
        self.mean = self.mean + self.sigma * y_w
        self.p_sigma = (1 - k.c_sigma) * self.p_sigma + math.sqrt(
            k.c_sigma * (2 - k.c_sigma) * mass
        ) * z_w
        length = float(np.sum(self.p_sigma**2))
        h_sigma = length / (1 - (1 - k.c_sigma) ** (2 * self.generation)) / n < 2 + 4 / (n + 1)
        self.p_c = (1 - k.c_c) * self.p_c + h_sigma * math.sqrt(k.c_c * (2 - k.c_c) * mass) * y_w
        decay = max(0.0, 1 - k.c_1 * (1 - (1 - h_sigma) * k.c_c * (2 - k.c_c)) - k.c_mu)
        self.variances = decay * self.variances + k.c_1 * self.p_c**2 + k.c_mu * rank_mu
        self.sigma *= math.exp(
            min(1.0, k.c_sigma / k.d_sigma * (math.sqrt(length) / expected_length(n) - 1))
        )
        if self._margin is not None:
            self.mean, self._factors = self._margin.corrected(
                self.mean, self.deviations, self._factors
            )

    def _remember(self, fitness: NDArray[np.float64]) -> None:
        valid = fitness[np.isfinite(fitness)]
        if valid.size:
            self._history = np.append(self._history, valid.max())[-self._window :]
            self._spread = float(np.ptp(valid))

    def should_stop(self) -> str | None:
        tolerance = self.settings.tolerance_fun
        if (
            self._history.size >= self._window
            and max(np.ptp(self._history), self._spread) < tolerance
        ):
            return (
                f"fitness spans less than {tolerance:.1e} over {self._window} generations "
                f"(--tolerance-fun)"
            )
        return out_of_range(self.deviations, self.settings.sigma)

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {
            "sigma": self.sigma,
            "axis_ratio": math.sqrt(float(self.variances.max() / self.variances.min())),
        }

    def state(self) -> State:
        arrays = {name: getattr(self, name) for name in ("mean", "variances", "p_sigma", "p_c")}
        numbers = {"generation": self.generation, "sigma": self.sigma, "spread": self._spread}
        if self._margin is not None:
            arrays["factors"] = self._factors
        return {
            **arrays,
            "history": self._history,
            **{name: np.array(value) for name, value in numbers.items()},
        }

    def restore(self, state: State) -> None:
        for name in ("mean", "variances", "p_sigma", "p_c"):
            setattr(self, name, state[name])
        self.generation, self.sigma, self._spread = (
            int(state["generation"]),
            float(state["sigma"]),
            float(state["spread"]),
        )
        self._history, self._factors = (
            state["history"],
            state.get("factors", np.ones(self.mean.size)),
        )


def separable(full: Coefficients, n: int) -> Coefficients:
    """The rates of a diagonal matrix from those of a full one: times (n + 2) / 3, clamped so that
    c_1 + c_mu <= 1.
    """
    factor = (n + 2) / 3
    c_1 = min(1.0, factor * full.c_1)
    return replace(full, c_1=c_1, c_mu=min(1 - c_1, factor * full.c_mu))
