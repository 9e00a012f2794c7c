"""Members that are given as vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.noise.contract import Noise


@dataclass(frozen=True)
class GivenPoints(Candidates):
    """Members that a strategy has made itself: all of them travel to every node, so this is for
    libraries, not for many.

    Attributes:
        points: (population_size, dimension) float64.
    """

    points: NDArray[np.float64]

    @property
    def dimension(self) -> int:
        return int(self.points.shape[1])

    def shared(self) -> Message:
        return {name: getattr(self, name) for name in ("seed", "generation", "population_size")}, {
            "points": self.points
        }

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.float64]:
        return np.array(self.points[start:stop])  # a mapped array is another type to Numba

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """No member has noise."""
        return weights[:0], np.zeros(0, np.int64)
