"""Truncation selection with recombination: the (mu/mu_w, lambda)-ES with cumulative step-size
adaptation.

Every member mutates the weighted mean of the last generation's parents (Hansen, Arnold, Auger 2015,
"Evolution Strategies", algorithm 5, doi 10.1007/978-3-662-43505-2_44).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.ranking import is_flat, recombination_weights, selection_mass
from esengine.algorithms.strategy import State, check_results
from esengine.candidates import Candidates, MutatedParents
from esengine.pool.population import Population


class RecombiningES:
    """The (mu/mu_w, lambda)-ES: every member mutates the weighted mean of the parents.

    Args:
        population_size: lambda, members of a generation.
        num_parents: mu, members that the mean moves to.
        sigma: the first step size.
        initial: (dimension,) the first mean.
        seed: the run's seed.
    """

    def __init__(
        self,
        population_size: int,
        num_parents: int,
        sigma: float,
        initial: NDArray[np.floating],
        seed: int,
    ) -> None:
        self.population_size = population_size
        self.seed = seed
        self.generation = 0
        self.mean = np.array(initial)
        self.sigma = self._first_sigma = sigma
        n, mu = initial.size, num_parents
        ranks = np.arange(1, mu + 1)
        weights = np.log(mu + 0.5) - np.log(ranks)
        self.weights = np.concatenate(
            [weights / weights.sum(), np.zeros(self.population_size - mu)]
        )
        mu_eff = selection_mass(self.weights)
        self.c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
        self.d_sigma = 1 + self.c_sigma + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1)
        self.chi_n = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))  # E|N(0, I)|
        self.p_sigma = np.zeros(n)

    def ask(self) -> MutatedParents:
        return MutatedParents(
            self.seed,
            self.generation + 1,
            self.population_size,
            self.sigma,
            parents=self.mean[None, :],
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        if not is_flat(fitness):
            self._learn(recombination_weights(fitness, self.weights), population)
        self.generation += 1

    def _learn(self, weights: NDArray[np.float64], population: Population) -> None:
        step, c = population.weighted_noise(weights), self.c_sigma
        scale = math.sqrt(c * (2 - c) * selection_mass(weights))
        self.p_sigma = (1 - c) * self.p_sigma + scale * step.astype(np.float64)
        self.mean = self.mean + self.mean.dtype.type(self.sigma) * step
        self.sigma *= math.exp(
            min(1.0, c / self.d_sigma * (float(np.linalg.norm(self.p_sigma)) / self.chi_n - 1))
        )

    def should_stop(self) -> str | None:
        if self.sigma < 1e-12 * self._first_sigma:
            return f"sigma fell to {self.sigma:.1e}"
        if not self.sigma < 1e12 * self._first_sigma:
            return f"sigma grew to {self.sigma:.1e}: the search runs away; bound the objective"
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.sigma}

    def state(self) -> State:
        return {
            "generation": np.array(self.generation),
            "mean": self.mean,
            "sigma": np.array(self.sigma),
            "p_sigma": self.p_sigma,
        }

    def restore(self, state: State) -> None:
        self.generation = int(state["generation"])
        self.mean = state["mean"]
        self.sigma = float(state["sigma"])
        self.p_sigma = state["p_sigma"]
