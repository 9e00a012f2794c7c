"""CMA-MAE (Fontaine, Nikolaidis 2023, arXiv 2205.10752): emitters are told by how much they exceed
the threshold of a cell.

A threshold rises slowly towards the fitness of the solutions that exceed it, so that an emitter
leaves a region only when it has been improved there for a while. A rate of 1 follows the elites; a
rate of 0 optimises the fitness alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.quality_diversity.cma_me import search_of
from esengine.algorithms.quality_diversity.search import RepertoireSearch
from esengine.algorithms.quality_diversity.settings import EmitterSettings
from esengine.algorithms.quality_diversity.thresholds import Thresholds
from esengine.checks import within


@dataclass(frozen=True)
class CMAMAESettings(EmitterSettings):
    """Let several CMA-ES improve an archive whose thresholds rise slowly."""

    threshold_rate: float = 0.01
    """How far the threshold of a cell moves towards a solution that exceeds it; thresholds begin at
    --least-fitness.
    """

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        within(self, 0, 1, "threshold_rate")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> RepertoireSearch:
        """A new strategy that starts from ``initial``, (dimension,)."""
        num_cells = math.prod(self.shape)
        thresholds = Thresholds(num_cells, self.least_fitness, self.threshold_rate)
        return search_of(self, initial, seed, thresholds)
