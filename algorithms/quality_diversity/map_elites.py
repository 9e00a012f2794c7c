"""MAP-Elites (Mouret, Clune 2015, arXiv 1504.04909) with iso-line variation (Vassiliades, Mouret
2018, doi 10.1145/3205455.3205602).

Each member is an elite that is moved a little in all directions, and along the line to another
elite. The best solution of every cell stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.quality_diversity.archive import EliteArchive
from esengine.algorithms.quality_diversity.emitters import LineEmitter
from esengine.algorithms.quality_diversity.search import RepertoireSearch
from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.checks import not_negative, positive


@dataclass(frozen=True)
class MapElitesSettings(ArchiveSettings):
    """Keep the best solution of every kind of behaviour, and vary them along lines between them."""

    sigma: float = 0.01
    """Standard deviation of a variation in every parameter."""
    line_sigma: float = 0.2
    """Standard deviation of a variation towards another elite, in units of the distance to it."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        super().check()
        positive(self, "sigma")
        not_negative(self, "line_sigma")

    def strategy(self, initial: NDArray[np.floating], seed: int) -> RepertoireSearch:
        """A new strategy that starts from ``initial``, (dimension,)."""
        self.check()
        archive = EliteArchive(self, initial.size, initial.dtype, seed)
        emitter = LineEmitter(
            archive, initial, self.population_size, self.sigma, self.line_sigma, seed
        )
        return RepertoireSearch(self, initial, seed, archive, [emitter])
