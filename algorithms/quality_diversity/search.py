"""The strategy of quality diversity: emitters ask for solutions, and the archive keeps the best of
every cell.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.quality_diversity.archive import EliteArchive
from esengine.algorithms.quality_diversity.emitters import Added, Emitter, StrategyEmitter
from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.algorithms.quality_diversity.thresholds import Thresholds
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State, check_results
from esengine.candidates import Candidates, GivenPoints, JointPopulation
from esengine.pool.population import Population


class RepertoireSearch:
    """The strategy. Its state is the archive, the thresholds, and that of the emitters.

    It is given the measures of a generation by `meet`, before `tell` is given the fitness.

    Args:
        settings: checked settings.
        initial: (n,) what the emitters begin from.
        seed: the run's seed.
        archive: empty.
        emitters: at their start.
        thresholds: of a soft archive; None compares solutions with the elites.
    """

    varying_state: ClassVar[tuple[str, ...]] = ("archive/centroids", "emitter/")

    def __init__(
        self,
        settings: ArchiveSettings,
        initial: NDArray[np.floating],
        seed: int,
        archive: EliteArchive,
        emitters: list[Any],
        thresholds: Thresholds | None = None,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.generation = 0
        self.population_size = settings.population_size  # emitters' members, then elites again
        self.archive = archive
        self._initial = np.array(initial)
        self._emitters: list[Emitter] = emitters
        self._thresholds = thresholds
        self._measures: NDArray[np.float64] | None = None
        self._num_again = 0
        self._added = [0, 0]  # better elites and new cells of the last generation

    def _take_size(self) -> None:
        """Take the size of the next generation, which grows with the elites to evaluate again."""
        self._num_again = min(self.settings.reevaluate, self.archive.cells.size)
        self.population_size = self.settings.population_size + self._num_again

    def ask(self) -> Candidates:
        generation = self.generation + 1
        parts = [emitter.ask(generation) for emitter in self._emitters]
        if self._num_again:
            rows = self.archive.rows[self.archive.least_evaluated(self._num_again)]
            parts.append(
                GivenPoints(self.seed, generation, self._num_again, rows.astype(np.float64))
            )
        return parts[0] if len(parts) == 1 else JointPopulation.of(self.seed, tuple(parts))

    def meet(self, measures: NDArray[np.float64]) -> None:
        """Take the measures of the generation that `tell` is given next.

        Args:
            measures: (population_size, num_measures), not finite where the member failed.
        """
        self._measures = measures

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        """See `Strategy.tell`. Raises ValueError if `meet` was not given this generation's
        measures.
        """
        check_results(self, candidates, fitness)
        expected = (self.population_size, self.settings.num_measures)
        if self._measures is None or self._measures.shape != expected:
            raise ValueError(f"meet must be given measures of shape {expected} before tell")
        measures, self._measures = self._measures, None

        again = self.archive.least_evaluated(self._num_again)
        size = self.settings.population_size
        added = self._add(fitness[:size], measures[:size], population)
        for number, (emitter, part) in enumerate(self._parts(candidates)):
            first, last, own = part
            whole = own is candidates
            told = Added(added.status[first:last], added.improvement[first:last])
            emitter.tell(own, told, population if whole else population.part(number))
        if again.size:
            self._correct(again, fitness[size:], measures[size:])
        self.generation += 1
        self._take_size()

    def _add(
        self, fitness: NDArray[np.float64], measures: NDArray[np.float64], population: Population
    ) -> Added:
        """Show the emitters' members to the archive."""
        members = np.flatnonzero(np.isfinite(fitness) & np.isfinite(measures).all(axis=1))
        status = np.zeros(fitness.size, np.int32)
        improvement = np.full(fitness.size, -math.inf)
        if members.size:
            known, shown = fitness[members], measures[members]
            status[members], improvement[members] = self.archive.add(
                self.generation + 1, members, known, shown, population.rows
            )
            if self._thresholds is not None:
                cells = self.archive.cells_of(shown)
                improvement[members] = self._thresholds.tell(cells, known)
        self._added = [int(np.sum(status == 1)), int(np.sum(status == 2))]
        return Added(status, improvement)

    def _parts(self, candidates: Candidates) -> list[tuple[Emitter, tuple[int, int, Candidates]]]:
        """The emitters with their members: the first one, the one after the last, and the
        population.
        """
        parts = [(0, candidates.population_size, candidates)]
        if isinstance(candidates, JointPopulation):
            parts = [
                (first, last, part)
                for (first, last), part in zip(candidates.bounds, candidates.parts, strict=True)
            ]
        return list(zip(self._emitters, parts, strict=False))

    def _correct(
        self,
        cells: NDArray[np.int64],
        fitness: NDArray[np.float64],
        measures: NDArray[np.float64],
    ) -> None:
        """Correct the elites that were evaluated again and have not lost their cells since."""
        stay = np.isin(cells, self.archive.cells) & (self.archive.born[cells] <= self.generation)
        self.archive.correct(cells[stay], fitness[stay], measures[stay])

    def should_stop(self) -> str | None:
        return None

    def parameters(self) -> NDArray[np.floating]:
        """The row of the best elite."""
        cells = self.archive.cells
        if not cells.size:
            return self._initial
        row: NDArray[np.floating] = self.archive.rows[cells[np.argmax(self.archive.fitness)]]
        return row

    def metrics(self) -> dict[str, Any]:
        """The archive's coverage and QD score, what the generation changed in it, and the geometric
        mean of the emitters' step sizes.
        """
        sigmas = np.array([emitter.sigma for emitter in self._emitters])
        row = self.archive.metrics()
        row |= {"better_elites": self._added[0], "new_cells": self._added[1]}
        row["sigma"] = float(np.exp(np.log(sigmas).mean()))
        if isinstance(self._emitters[0], StrategyEmitter):
            restarts = [
                each.restarts for each in self._emitters if isinstance(each, StrategyEmitter)
            ]
            row["emitter_restarts"] = sum(restarts)
        return row

    def state(self) -> State:
        state = {"generation": np.array(self.generation), "added": np.array(self._added)}
        state |= with_prefix("archive/", self.archive.state())
        if self._thresholds is not None:
            state |= with_prefix("thresholds/", self._thresholds.state())
        for number, emitter in enumerate(self._emitters):
            state |= with_prefix(f"emitter/{number}/", emitter.state())
        return state

    def restore(self, state: State) -> None:
        """Become the strategy that gave ``state``. Raises ValueError if the state contradicts
        itself.
        """
        self.generation = int(state["generation"])
        self._added = state["added"].tolist()
        self._measures = None
        self.archive.restore(without_prefix("archive/", state))
        if self._thresholds is not None:
            self._thresholds.restore(without_prefix("thresholds/", state))
        for number, emitter in enumerate(self._emitters):
            emitter.restore(without_prefix(f"emitter/{number}/", state))
        self._take_size()
