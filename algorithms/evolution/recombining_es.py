"""The (mu/mu_w, lambda)-ES with cumulative step-size adaptation (Hansen, Arnold, Auger 2015,
"Evolution Strategies", algorithm 5, doi 10.1007/978-3-662-43505-2_44).

Every member mutates the weighted mean of the last generation's parents.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.mean_search import MeanSearch
from esengine.algorithms.evolution.ranking import recombination_weights, selection_mass
from esengine.candidates import MutatedParents
from esengine.pool.population import Population


class RecombiningES(MeanSearch):
    """The strategy. Its state is the mean, sigma and the step-size path.

    Args:
        settings: `TruncationESSettings` with recombination.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    saved = (*MeanSearch.saved, "p_sigma")

    def __init__(self, settings: Any, initial: NDArray[np.floating], seed: int) -> None:
        super().__init__(settings, initial, seed, settings.size_for(initial.size))
        n = initial.size
        mu = settings.num_parents(self.population_size)

        # Selection and recombination
        raw = np.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
        self.weights = np.concatenate([raw / raw.sum(), np.zeros(self.population_size - mu)])
        mu_eff = selection_mass(self.weights)

        # Step-size control
        self.p_sigma = np.zeros(n)
        self.c_sigma = (mu_eff + 2) / (n + mu_eff + 5)
        self.d_sigma = 1 + self.c_sigma + 2 * max(0.0, math.sqrt((mu_eff - 1) / (n + 1)) - 1)
        self.chi_n = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))  # E|N(0, I)|

    def ask(self) -> MutatedParents:
        return MutatedParents(
            self.seed,
            self.generation + 1,
            self.population_size,
            self.sigma,
            parents=self.mean[None, :],
        )

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        c = self.c_sigma

        # Selection and recombination
        weights = recombination_weights(fitness, self.weights)
        z_w = population.weighted_noise(weights)  # sum w z, z ~ N(0, I)
        self.mean = self.mean + self.mean.dtype.type(self.sigma) * z_w

        # Step-size control
        scale = math.sqrt(c * (2 - c) * selection_mass(weights))
        self.p_sigma = (1 - c) * self.p_sigma + scale * z_w.astype(np.float64)
        length = float(np.linalg.norm(self.p_sigma))
        self.sigma *= math.exp(min(1.0, c / self.d_sigma * (length / self.chi_n - 1)))
