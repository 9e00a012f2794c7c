"""A penalty that keeps the members of a search near the policy that it began from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Anchor:
    """Subtracts from a member's fitness its distance from where the search began, less with every
    generation.

    Attributes:
        parameters: (num_parameters,) where it began.
        weight: of the mean squared distance in the first generation.
        decay: factor on it after every generation.
    """

    parameters: NDArray[np.float32]
    weight: float
    decay: float

    def penalties(self, rows: NDArray[np.floating], generation: int) -> NDArray[np.float64]:
        """The number to subtract from the fitness of each member of a generation, (num_members,).
        A row's does not depend on the others.
        """
        apart = [row.astype(np.float64) - self.parameters for row in rows]
        weight = self.weight * self.decay ** max(0, generation - 1)
        return weight * np.array([float(distance @ distance) / distance.size for distance in apart])
