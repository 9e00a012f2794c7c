"""Members that are given as vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.noise import Noise


@dataclass(frozen=True)
class GivenPoints(Candidates):
    """Members that a strategy has computed itself.

    All of them travel to every node, so this is for small populations, such as those of a library.

    Attributes:
        points: (population_size, dimension) float64.
    """

    points: NDArray[np.float64]

    @property
    def dimension(self) -> int:
        return int(self.points.shape[1])

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.float64]:
        return np.array(self.points[start:stop])  # for Numba, a mapped array has another type

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Nothing, since no member has noise."""
        return weights[:0], np.zeros(0, np.int64)
