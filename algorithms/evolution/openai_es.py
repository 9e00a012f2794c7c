"""OpenAI-ES: follow an estimated gradient of the fitness ranks (Salimans et al. 2017, arXiv
1703.03864).

Members come in antithetic pairs, mean + sigma * noise_k and mean - sigma * noise_k. Both members of
a pair run from the same start states. sigma is constant; an optimiser moves the mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.mean_search import MeanSearch
from esengine.algorithms.evolution.optimizers import OptimizerSettings, make_optimizer
from esengine.algorithms.evolution.ranking import centred_ranks, pair_differences
from esengine.algorithms.strategy import check_pairs
from esengine.candidates import AntitheticPairs
from esengine.checks import positive
from esengine.pool.population import Population


@dataclass(frozen=True)
class OpenAIESSettings(OptimizerSettings):
    """Follow the gradient of the fitness ranks, estimated from antithetic pairs."""

    antithetic: ClassVar[bool] = True

    population_size: int = 256
    """Members per generation; they come in pairs."""
    sigma: float = 0.5
    """Standard deviation of every parameter."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        positive(self, "sigma")
        check_pairs(self.population_size)

    def strategy(self, initial: NDArray[np.floating], seed: int) -> OpenAIES:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return OpenAIES(self, initial, seed)


class OpenAIES(MeanSearch):
    """The strategy. Its state is the mean and the optimiser's moments.

    The gradient is g = (1 / lambda) sum_i u_i s_i noise_i with centred ranks u_i in [-1/2, 1/2] and
    the member's sign s_i. This is sigma times the paper's estimate (section 2, without the
    1 / sigma). It has no unit, so learning rates have the unit of the parameters. Weight decay is
    applied to the mean directly and does not enter the gradient.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    saved = ("generation", "mean", "optimizer")
    learns_from_ties = True
    settings: OpenAIESSettings

    def __init__(
        self, settings: OpenAIESSettings, initial: NDArray[np.floating], seed: int
    ) -> None:
        super().__init__(settings, initial, seed)
        self.optimizer = make_optimizer(settings, settings.sigma, self.mean)

    def ask(self) -> AntitheticPairs:
        return AntitheticPairs(
            self.seed, self.generation + 1, self.population_size, self.sigma, self.mean
        )

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        # Gradient estimate
        utilities = pair_differences(centred_ranks(fitness))
        gradient = population.weighted_noise(utilities / self.population_size)

        # Step of the optimiser
        self.mean = self.mean * (1 - self.settings.weight_decay) + self.optimizer.step(gradient)
