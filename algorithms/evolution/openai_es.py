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

from esengine.algorithms.evolution.mean_search import MeanSearch, PairSettings
from esengine.algorithms.evolution.optimizers import OptimizerSettings, make_optimizer
from esengine.algorithms.evolution.ranking import centred_ranks, pair_differences
from esengine.candidates import AntitheticPairs
from esengine.pool.population import Population


@dataclass(frozen=True)
class OpenAIESSettings(OptimizerSettings, PairSettings):
    """Follow the gradient of the fitness ranks, estimated from antithetic pairs."""

    usual_sigma: ClassVar[float] = 0.5
    paper_sigma: ClassVar[float | None] = 0.02

    sigma: float | None = None
    """Standard deviation of every parameter; default 0.5 in objectives. In environments it is 0.02
    as in the paper, and four or sixteen times as much if trials before the search gain more by it.
    """

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
        super().__init__(settings, initial, seed, settings.size_for(initial.size))
        self.optimizer = make_optimizer(settings, self.sigma, self.mean)

    def allow_lag(self, lag: int) -> None:
        """See `AllowsLag`."""
        self.optimizer.allow_lag(lag)

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
