"""The thresholds of a soft archive (Fontaine, Nikolaidis 2023, arXiv 2205.10752, algorithm 1 and
appendix on batches).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState


class Thresholds(SavedState):
    """What a solution has to exceed in each cell, t_e.

    Args:
        num_cells: cells of the archive.
        least: the threshold of an empty cell.
        rate: alpha, how far a threshold moves towards a solution that exceeds it.
    """

    saved = ("values",)

    def __init__(self, num_cells: int, least: float, rate: float) -> None:
        self.rate = rate
        self.values = np.full(num_cells, least)

    def tell(self, cells: NDArray[np.int64], fitness: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the improvement f - t_e of each solution of a batch, (batch_size,), and raise the
        thresholds that are exceeded.

        Several solutions of one cell are compared with the threshold before them all. Of c that
        exceed it, t_e <- (1 - alpha)^c t_e + (1 - (1 - alpha)^c) mean f.

        Args:
            cells: (batch_size,) of the solutions.
            fitness: (batch_size,) finite.
        """
        improvement = fitness - self.values[cells]
        better = improvement > 0
        if better.any():
            found, inverse = np.unique(cells[better], return_inverse=True)
            counts = np.bincount(inverse)
            means = np.bincount(inverse, fitness[better]) / counts
            kept = (1 - self.rate) ** counts
            self.values[found] = kept * self.values[found] + (1 - kept) * means
        return improvement
