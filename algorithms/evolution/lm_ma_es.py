"""LM-MA-ES: matrix adaptation with limited memory (Loshchilov, Glasmachers, Beyer 2017, arXiv
1705.06693).

Time and memory of a member are O(m n) with m = 4 + 3 ln n directions. Letters are the paper's,
Algorithm 3.

The paper's rates are for populations below half the number of parameters. Beyond, we clamp them:
rates at 1/2 and a direction's squared length at 4 n, four times what it has without selection;
otherwise a large population, whose mean of steps is long, would make the variance along a direction
grow without bound. The logarithm of a change of sigma is clamped at 1 everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.ranking import is_flat, recombination_weights, selection_mass
from esengine.algorithms.strategy import State, check_results, out_of_range
from esengine.candidates import Candidates, LimitedSamples
from esengine.candidates.limited import transformed
from esengine.checks import at_least, positive
from esengine.pool.population import Population

_LONGEST = 4.0  # squared length of a direction, in units of n


@dataclass(frozen=True)
class LMMAESSettings:
    """Adapt a few directions of a normal distribution, for very many parameters with dependencies
    among them.
    """

    integers: ClassVar[bool] = False  # its step sizes may shrink until all members round to one
    antithetic: ClassVar[bool] = False

    population_size: int | None = None
    """Members of a generation (lambda); default 4 + 3 ln(parameters)."""
    sigma: float = 1.0
    """Initial standard deviation of every parameter."""
    directions: int | None = None
    """Directions that are kept (m); default 4 + 3 ln(parameters)."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        positive(self, "sigma")
        at_least(self, 4, "population_size")
        at_least(self, 1, "directions")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> LMMAES:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return LMMAES(self, initial, seed)


class LMMAES:
    """The strategy. Its state is the mean, sigma, the step-size path and the directions.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    def __init__(self, settings: LMMAESSettings, initial: NDArray[np.floating], seed: int) -> None:
        settings.check()
        n = initial.size
        self.settings, self.seed = settings, seed
        self.population_size = size = settings.population_size or 4 + int(3 * math.log(n))
        mu = size // 2
        raw = np.maximum(0, math.log(mu + 0.5) - np.log(np.arange(1, size + 1)))
        self.weights = raw / raw.sum()
        index = np.arange(settings.directions or 4 + int(3 * math.log(n)))
        self.c_sigma = min(0.5, 2 * size / n)
        self.c_d = np.minimum(0.5, 1 / (1.5**index * n))
        self.c_c = np.minimum(0.5, size / (4.0**index * n))
        self.generation = self._num_learned = 0
        self.mean = np.array(initial, np.float64)
        self.sigma = settings.sigma
        self.p_sigma = np.zeros(n)
        self.M = np.zeros((index.size, n))
        self._longest = _LONGEST if 2 * size >= n else math.inf
        self._dtype = initial.dtype

    def _acting(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The directions that act in this generation, one more each, and their rates."""
        count = min(self._num_learned, len(self.M))
        return self.M[:count], self.c_d[:count]

    def ask(self) -> LimitedSamples:
        mean = self.mean.astype(self._dtype)
        return LimitedSamples(
            self.seed, self.generation + 1, self.population_size, self.sigma, mean, *self._acting()
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        if not is_flat(fitness):
            self._learn(recombination_weights(fitness, self.weights), population)
            self._num_learned += 1
        self.generation += 1

    def _learn(self, weights: NDArray[np.float64], population: Population) -> None:
        n, c_s, mass = self.mean.size, self.c_sigma, selection_mass(weights)
        z_w = population.weighted_noise(weights, np.float64).astype(np.float64)
        self.mean = self.mean + self.sigma * transformed(
            z_w, *self._acting()
        )  # line 12; the transformation is linear
        self.p_sigma = (1 - c_s) * self.p_sigma + math.sqrt(mass * c_s * (2 - c_s)) * z_w  # line 13
        c_c = self.c_c[:, None]
        self.M = (1 - c_c) * self.M + np.sqrt(mass * c_c * (2 - c_c)) * z_w  # line 15
        lengths = np.sum(self.M**2, axis=1, keepdims=True)
        self.M *= np.sqrt(np.minimum(1, self._longest * n / np.maximum(lengths, 1e-300)))
        self.sigma *= math.exp(
            min(1.0, c_s / 2 * (float(self.p_sigma @ self.p_sigma) / n - 1))
        )  # line 16

    def should_stop(self) -> str | None:
        return out_of_range(np.array([self.sigma]), self.settings.sigma)

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.sigma}

    def state(self) -> State:
        numbers = {"generation": self.generation, "learned": self._num_learned, "sigma": self.sigma}
        arrays = {name: np.array(number) for name, number in numbers.items()}
        return {**arrays, "mean": self.mean, "p_sigma": self.p_sigma, "M": self.M.copy()}

    def restore(self, state: State) -> None:
        self.generation, self.sigma = int(state["generation"]), float(state["sigma"])
        self._num_learned = int(state["learned"])
        self.mean, self.p_sigma, self.M = state["mean"], state["p_sigma"], np.array(state["M"])
