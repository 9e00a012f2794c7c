"""PGPE: policy gradients with parameter-based exploration (Sehnke et al. 2010, doi
10.1016/j.neunet.2009.12.004).

Symmetric sampling with a standard deviation for every parameter. Centred ranks, ClipUp for the mean
and bounded changes of the standard deviations follow Toklu, Liskowski, Srivastava 2020 (arXiv
2008.02387).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.lag import share_of_rate
from esengine.algorithms.evolution.mean_search import PairSettings, SeparableSearch
from esengine.algorithms.evolution.optimizers import OptimizerSettings, make_optimizer
from esengine.algorithms.evolution.ranking import centred_ranks, pair_differences, pair_sums
from esengine.candidates import ScaledSamples
from esengine.checks import not_negative, within
from esengine.pool.population import Population


@dataclass(frozen=True)
class PGPESettings(OptimizerSettings, PairSettings):
    """Follow the gradient of the fitness ranks, with a standard deviation for every parameter."""

    integers: ClassVar[bool] = False  # its step sizes may shrink until all members round to one
    usual_sigma: ClassVar[float] = 0.5

    optimizer: Literal["adam", "sgd", "clipup"] = "clipup"
    """Adam, gradient ascent with momentum, or ClipUp, which takes only the gradient's direction."""
    sigma: float | None = None
    """Initial standard deviation of every parameter; default 0.5. In environments the default is
    found before the search: a quarter of it, again and again, until the best fifth of the members
    exceed the start.
    """
    sigma_learning_rate: float = 0.1
    """Learning rate of the standard deviations; 0 keeps them constant."""
    max_sigma_change: float = 0.2
    """Largest relative change of a standard deviation per generation."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        not_negative(self, "sigma_learning_rate")
        within(self, 0, 1, "max_sigma_change", ends="()")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> PGPE:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return PGPE(self, initial, seed)


class PGPE(SeparableSearch):
    """The strategy. Its state is the mean, the standard deviations and the optimiser's moments.

    With centred ranks u_i the gradient of the mean is (1 / lambda) sum_i u_i s_i noise_i, times
    each parameter's standard deviation divided by the initial one; it has no unit. A standard
    deviation changes by its learning rate times sigma (1 / lambda) sum_i u_i (noise_i^2 - 1).
    Centred ranks have mean zero, which replaces the paper's baseline.

    Args:
        settings: checked settings.
        initial: (n,) the first mean.
        seed: the run's seed.
    """

    saved = (*SeparableSearch.saved, "optimizer")
    learns_from_ties = True
    settings: PGPESettings

    def __init__(self, settings: PGPESettings, initial: NDArray[np.floating], seed: int) -> None:
        super().__init__(settings, initial, seed, settings.size_for(initial.size))
        self.optimizer = make_optimizer(settings, self.sigma, self.mean)
        self.sigma_learning_rate = settings.sigma_learning_rate

    def allow_lag(self, lag: int) -> None:
        """See `AllowsLag`. Gradients are taken in units of the present deviations."""
        self.optimizer.allow_lag(lag)
        self.sigma_learning_rate *= share_of_rate(lag)

    def ask(self) -> ScaledSamples:
        deviations = self.deviations.astype(self.mean.dtype)
        return ScaledSamples(
            self.seed, self.generation + 1, self.population_size, True, self.mean, deviations
        )

    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        settings = self.settings
        ranks = centred_ranks(fitness) / self.population_size

        # Gradient of the mean
        scales = (self.deviations / settings.first_sigma).astype(self.mean.dtype)
        gradient = scales * population.weighted_noise(pair_differences(ranks))
        self.mean = self.mean * (1 - settings.weight_decay) + self.optimizer.step(gradient)

        # Gradient of the standard deviations
        sums = pair_sums(ranks)
        change = self.sigma_learning_rate * (population.weighted_squares(sums) - sums.sum())
        bounded = np.clip(change, -settings.max_sigma_change, settings.max_sigma_change)
        self.deviations = self.deviations * (1 + bounded)
