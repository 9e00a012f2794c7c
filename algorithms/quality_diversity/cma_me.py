"""CMA-ME with improvement emitters (Fontaine, Togelius, Nikolaidis, Hoover 2020, arXiv 1912.02400).

Each emitter is an evolution strategy whose members are ranked by what they add to the archive: new
cells first, then better elites by their improvement. An emitter whose generation adds nothing
begins anew from a random elite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_es import CMAES, CMAESSettings
from esengine.algorithms.evolution.sep_cma_es import SepCMAES, SepCMAESSettings
from esengine.algorithms.quality_diversity.archive import EliteArchive
from esengine.algorithms.quality_diversity.emitters import Make, StrategyEmitter
from esengine.algorithms.quality_diversity.search import RepertoireSearch
from esengine.algorithms.quality_diversity.settings import EmitterSettings
from esengine.algorithms.quality_diversity.thresholds import Thresholds
from esengine.algorithms.strategy import Strategy

_MOST_OF_FULL = 300  # parameters of an emitter with a full covariance matrix


@dataclass(frozen=True)
class CMAMESettings(EmitterSettings):
    """Let several CMA-ES improve an archive of the best solution of every kind of behaviour."""

    def strategy(self, initial: NDArray[np.floating], seed: int) -> RepertoireSearch:
        """A new strategy that starts from ``initial``, (dimension,)."""
        return search_of(self, initial, seed, None)


def search_of(
    settings: EmitterSettings,
    initial: NDArray[np.floating],
    seed: int,
    thresholds: Thresholds | None,
) -> RepertoireSearch:
    """A new strategy with the emitters of the settings; with thresholds, they follow these alone.

    Args:
        settings: of the method.
        initial: (n,) the first mean of all emitters.
        seed: the run's seed.
        thresholds: of a soft archive, or None.
    """
    settings.check()
    archive = EliteArchive(settings, initial.size, initial.dtype, seed)
    make = _maker(settings, initial)
    emitters = [
        StrategyEmitter(archive, make, initial, seed, number, discovers=thresholds is None)
        for number in range(settings.emitters)
    ]
    return RepertoireSearch(settings, initial, seed, archive, emitters, thresholds)


def _maker(settings: EmitterSettings, initial: NDArray[np.floating]) -> Make:
    """What makes the strategy of an emitter. No criterion of fitness ends it, since improvements
    shrink as the archive fills.
    """
    size = settings.population_size // settings.emitters
    kind = settings.emitter
    if kind == "auto":
        kind = "cma-es" if initial.size <= _MOST_OF_FULL else "sep-cma-es"

    if kind == "cma-es":
        full = CMAESSettings(population_size=size, sigma=settings.sigma).without_fitness()

        def make(mean: NDArray[np.floating], seed: int, generation: int) -> Strategy:
            return CMAES(full, mean, seed, generation=generation)

        return make

    separable = SepCMAESSettings(population_size=size, sigma=settings.sigma).without_fitness()

    def make_separable(mean: NDArray[np.floating], seed: int, generation: int) -> Strategy:
        return SepCMAES(separable, mean, seed, generation=generation)

    return make_separable
