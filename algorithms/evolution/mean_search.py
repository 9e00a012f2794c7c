"""What strategies that move one mean have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import out_of_range


class MeanSearch(SavedState):
    """Base class of strategies that sample around a mean with a step size.

    Args:
        mean: (n,) the first mean; kept, not copied.
        sigma: the first step size.
        population_size: members per generation.
        seed: the run's seed.

    Attributes:
        generation: number of generations told so far.
        mean: (n,).
        sigma: step size.
    """

    saved: ClassVar[tuple[str, ...]] = ("generation", "mean", "sigma")

    mean: NDArray[Any]

    def __init__(
        self, mean: NDArray[np.floating], sigma: float, population_size: int, seed: int
    ) -> None:
        self.population_size = population_size
        self.seed = seed
        self.generation = 0
        self.mean = mean
        self.sigma = sigma
        self._first_sigma = sigma

    def should_stop(self) -> str | None:
        return out_of_range(np.array([self.sigma]), self._first_sigma)

    def parameters(self) -> NDArray[np.floating]:
        return self.mean

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.sigma}


class SeparableSearch(MeanSearch):
    """Base class of strategies with a standard deviation for every parameter instead of a sigma.

    Args:
        mean: (n,) the first mean; kept, not copied.
        sigma: the first standard deviation of every parameter.
        population_size: members per generation.
        seed: the run's seed.

    Attributes:
        generation: number of generations told so far.
        mean: (n,).
        deviations: (n,) float64 standard deviations.
    """

    saved: ClassVar[tuple[str, ...]] = ("generation", "mean", "deviations")

    def __init__(
        self, mean: NDArray[np.floating], sigma: float, population_size: int, seed: int
    ) -> None:
        self.population_size = population_size
        self.seed = seed
        self.generation = 0
        self.mean = mean
        self.deviations = np.full(mean.size, sigma)
        self._first_sigma = sigma

    def should_stop(self) -> str | None:
        return out_of_range(self.deviations, self._first_sigma)

    def metrics(self) -> dict[str, float]:
        return {"sigma": geometric_mean(self.deviations)}


def geometric_mean(values: NDArray[np.float64]) -> float:
    """Return the geometric mean of positive values."""
    return float(np.exp(np.mean(np.log(values))))
