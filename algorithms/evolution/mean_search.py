"""What strategies that move one mean have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import default_population_size
from esengine.algorithms.evolution.ranking import is_flat
from esengine.algorithms.evolution.step_sizes import StepSizeSettings
from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import check_pairs, check_results, out_of_range
from esengine.candidates import Candidates
from esengine.checks import at_least
from esengine.pool.population import Population


@dataclass(frozen=True)
class DistributionSettings(StepSizeSettings):
    """The settings of every strategy that adapts a normal distribution."""

    antithetic: ClassVar[bool] = False
    least_population: ClassVar[int] = 4

    population_size: int | None = None
    """Members per generation (lambda); default 4 + 3 ln(parameters)."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        at_least(self, self.least_population, "population_size")


@dataclass(frozen=True)
class PairSettings(StepSizeSettings):
    """The population of methods that follow a gradient estimated from antithetic pairs."""

    antithetic: ClassVar[bool] = True

    population_size: int | None = None
    """Members per generation; they come in pairs. Default 4 (4 + 3 ln(parameters))."""

    def check(self) -> None:
        """Raises UserError for a population that is not of pairs."""
        super().check()
        if self.population_size is not None:
            check_pairs(self.population_size)

    def size_for(self, n: int) -> int:
        """Members per generation for ``n`` parameters."""
        return self.population_size or 4 * default_population_size(n)


class MeanSearch(SavedState, ABC):
    """Base class of strategies that sample around a mean with a step size.

    Args:
        settings: the method's settings, with ``first_sigma`` and the ``population_size``.
        initial: (n,) the first mean.
        seed: the run's seed.
        population_size: members per generation, or None for those of the settings.
        dtype: precision of the mean, or None for that of ``initial``.

    Attributes:
        generation: number of generations told so far.
        mean: (n,).
        sigma: step size.
        learns_from_ties: whether a generation of equal fitness changes the state.
    """

    saved: ClassVar[tuple[str, ...]] = ("generation", "mean", "sigma")
    learns_from_ties: ClassVar[bool] = False

    mean: NDArray[Any]

    def __init__(
        self,
        settings: Any,
        initial: NDArray[np.floating],
        seed: int,
        population_size: int | None = None,
        dtype: type[np.floating] | None = None,
    ) -> None:
        settings.check()
        size = population_size or settings.population_size
        self.settings = settings
        self.seed = seed
        self.population_size: int = size or default_population_size(initial.size)
        self.generation = 0
        self.mean = np.array(initial, dtype)
        self.sigma: float = settings.first_sigma
        self._dtype = initial.dtype  # of the members

    @abstractmethod
    def ask(self) -> Candidates:
        """See `Strategy.ask`."""

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        """See `Strategy.tell`."""
        check_results(self, candidates, fitness)
        if self.learns_from_ties or not is_flat(fitness):
            self._learn(fitness, population)
        self.generation += 1

    @abstractmethod
    def _learn(self, fitness: NDArray[np.float64], population: Population) -> None:
        """Move the distribution by the results of a generation."""

    def should_stop(self) -> str | None:
        return out_of_range(np.array([self.sigma]), self.settings.first_sigma)

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.sigma}


class SeparableSearch(MeanSearch):
    """Base class of strategies with a standard deviation for every parameter instead of a sigma.

    Attributes:
        deviations: (n,) float64 standard deviations, which begin as the settings' ``first_sigma``.
    """

    saved: ClassVar[tuple[str, ...]] = ("generation", "mean", "deviations")

    def __init__(self, settings: Any, initial: NDArray[np.floating], *arguments: Any) -> None:
        super().__init__(settings, initial, *arguments)
        self.deviations = np.full(initial.size, self.sigma)

    def should_stop(self) -> str | None:
        return out_of_range(self.deviations, self.settings.first_sigma)

    def metrics(self) -> dict[str, float]:
        return {"sigma": geometric_mean(self.deviations)}


def geometric_mean(values: NDArray[np.float64]) -> float:
    """Return the geometric mean of positive values."""
    return float(np.exp(np.mean(np.log(values))))
