"""An archive of elites: the best solution of every cell of the space of measures (Mouret, Clune
2015, arXiv 1504.04909).

The ``ribs`` package decides which cell a solution belongs to and which solution of a cell stays. It
holds their addresses, generation and member; the rows of parameters lie apart, and only those of
solutions that stay are computed. What comes out is in the order of cells, so no bit depends on the
order in which they were filled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.algorithms.strategy import State
from esengine.errors import UserError, pip_install
from esengine.seeding import derive_key, derive_seed

_SAMPLES_PER_CELL = 20  # of the points whose clusters are the cells of cvt
_MOST_SAMPLES = 100_000

Floats = NDArray[np.float64]
Rows = Callable[[NDArray[np.int64]], NDArray[np.floating]]
"""The rows of some members, (num_members, dimension)."""


class EliteArchive:
    """The archive. Elites are listed in the order of their cells.

    Args:
        settings: checked settings.
        dimension: number of parameters.
        dtype: precision of the parameters.
        seed: the run's seed, which the centres of cvt depend on.

    Attributes:
        rows: (num_cells, dimension) the parameters of elites, by cell.
        luck: (num_cells, 1 + num_measures) fitness and measures that brought an elite to its cell.
        again: (num_cells, 1 + num_measures) sums over its later evaluations.
        counts: (num_cells,) number of its later evaluations.
        born: (num_cells,) the generation that an elite is of.
    """

    varying_state: ClassVar[tuple[str, ...]] = ("centroids",)

    def __init__(
        self, settings: ArchiveSettings, dimension: int, dtype: np.dtype[Any], seed: int
    ) -> None:
        check_installed()
        self._settings = settings
        self._seed = seed
        self._cells: Any = None  # of ribs, once they are needed
        self._elites: dict[str, NDArray[Any]] | None = None
        size = int(np.prod(settings.shape))
        width = 1 + settings.num_measures
        self.rows = np.zeros((size, dimension), dtype)  # takes memory only where it is written
        self.luck = np.zeros((size, width))
        self.again = np.zeros((size, width))
        self.counts = np.zeros(size, np.int64)
        self.born = np.zeros(size, np.int64)

    @property
    def size(self) -> int:
        """The number of cells."""
        return self.counts.size

    @property
    def cells(self) -> NDArray[np.int64]:
        """The cells that have an elite, (num_elites,), in ascending order."""
        return self._listed()["index"]

    @property
    def fitness(self) -> Floats:
        """The fitness of the elites, (num_elites,)."""
        return self._listed()["objective"]

    @property
    def measures(self) -> Floats:
        """The measures of the elites, (num_elites, num_measures)."""
        return self._listed()["measures"]

    @property
    def centroids(self) -> Floats | None:
        """The centres of the cells of cvt, (num_cells, num_measures); None for a grid."""
        return self._ribs().centroids if self._settings.archive == "cvt" else None

    def cells_of(self, measures: Floats) -> NDArray[np.int64]:
        """The cells of some measures, (num_solutions,)."""
        return np.asarray(self._ribs().index_of(measures), np.int64)

    def add(
        self,
        generation: int,
        members: NDArray[np.int64],
        fitness: Floats,
        measures: Floats,
        rows: Rows,
    ) -> tuple[NDArray[np.int32], Floats]:
        """Add a batch of solutions; of equal ones in a cell, the one with the lowest id stays.

        Args:
            generation: of the solutions.
            members: (num_solutions,) their ids, in ascending order.
            fitness: (num_solutions,) finite.
            measures: (num_solutions, num_measures) finite.
            rows: computes the parameters of those that stay.

        Returns:
            The status of each, 2 for a new cell, 1 for a better elite of a cell, 0 for neither; and
            its improvement, which for a new cell is its fitness; both compared with the archive
            before the batch.
        """
        cells = self._ribs()
        addresses = np.column_stack([np.full(members.size, generation), members])
        info = cells.add(addresses, fitness, measures)
        improving = np.flatnonzero(info["status"])
        if improving.size:
            self._elites = None
            _, now = cells.retrieve(measures[improving])
            stays = (now["solution"] == addresses[improving]).all(axis=1)
            staying = improving[stays]
            places = now["index"][stays]
            self.rows[places] = rows(members[staying])
            self.luck[places] = np.column_stack([fitness[staying], measures[staying]])
            self.again[places] = 0
            self.counts[places] = 0
            self.born[places] = generation
        return info["status"], np.asarray(info["value"], np.float64)

    def least_evaluated(self, count: int) -> NDArray[np.int64]:
        """The cells of the elites with the fewest evaluations, at most ``count``; of equal ones,
        the lowest cells.
        """
        order = np.argsort(self.counts[self.cells], kind="stable")
        return np.sort(self.cells[order[:count]])

    def correct(self, cells: NDArray[np.int64], fitness: Floats, measures: Floats) -> None:
        """Give elites the mean of all of their evaluations, and the cells that they then belong to;
        of several in a cell, the best stays. One whose evaluation failed leaves the archive.

        Args:
            cells: (num_evaluated,) of the elites that were evaluated again.
            fitness: (num_evaluated,) minus infinity where it failed.
            measures: (num_evaluated, num_measures).
        """
        elites = self._listed()
        failed = cells[~(np.isfinite(fitness) & np.isfinite(measures).all(axis=1))]
        valid = ~np.isin(cells, failed)
        self.again[cells[valid]] += np.column_stack([fitness, measures])[valid]
        self.counts[cells[valid]] += 1

        left = ~np.isin(elites["index"], failed)
        old = elites["index"][left]
        means = (self.luck[old] + self.again[old]) / (1 + self.counts[old, None])
        exact = self.counts[old] == 0
        means[exact] = self.luck[old[exact]]
        self._place(old, means, elites["solution"][left])

    def _place(self, old: NDArray[np.int64], means: Floats, addresses: NDArray[np.int64]) -> None:
        """Make these elites, from their old cells, the archive."""
        cells = self._ribs()
        by_cell = (self.rows, self.luck, self.again, self.counts, self.born)
        own = [array[old] for array in by_cell]
        cells.clear()
        self._elites = None
        if not old.size:
            return
        order = np.lexsort(addresses.T[::-1])  # by age: of equal ones the first stays
        cells.add(addresses[order], means[order, 0], means[order, 1:])
        _, now = cells.retrieve(means[:, 1:])
        stays = (now["solution"] == addresses).all(axis=1)
        places = now["index"][stays]
        for array, values in zip(by_cell, own, strict=True):
            array[places] = values[stays]

    def corrected(self) -> tuple[int, float]:
        """The number of cells, and the QD score, of the elites by their later evaluations alone,
        which no luck has chosen; those without later evaluations count as they are.
        """
        cells = self.cells
        values = self.luck[cells].copy()
        known = self.counts[cells] > 0
        values[known] = self.again[cells[known]] / self.counts[cells[known], None]
        best = np.full(self.size, -np.inf)
        np.maximum.at(best, self.cells_of(values[:, 1:]) if cells.size else cells, values[:, 0])
        found = best[np.isfinite(best)]
        return found.size, self._score(found)

    def metrics(self) -> dict[str, Any]:
        """Coverage and QD score, and the corrected ones where elites are evaluated again."""
        fitness = self.fitness
        row: dict[str, Any] = {
            "elites": int(fitness.size),
            "coverage": fitness.size / self.size,
            "qd_score": self._score(fitness),
        }
        if self._settings.reevaluate:
            count, score = self.corrected()
            row["corrected_coverage"] = count / self.size
            row["corrected_qd_score"] = score
        return row

    def _score(self, fitness: Floats) -> float:
        return float(np.sum(fitness - self._settings.least_fitness))

    def state(self) -> State:
        elites = self._listed()
        cells = elites["index"]
        state = {
            "addresses": elites["solution"],
            "fitness": elites["objective"],
            "measures": elites["measures"],
            "rows": self.rows[cells],
            "luck": self.luck[cells],
            "again": self.again[cells],
            "counts": self.counts[cells],
        }
        if self._settings.archive == "cvt" and self._cells is not None:
            state["centroids"] = np.array(self._cells.centroids)
        return state

    def restore(self, state: State) -> None:
        """Become the archive that gave ``state``. Raises ValueError if it contradicts itself."""
        if len({len(array) for name, array in state.items() if name != "centroids"}) > 1:
            raise ValueError("the archive has parts of different lengths")
        self._cells = None
        self._elites = None
        if "centroids" in state:
            width = (self.size, self._settings.num_measures)
            if state["centroids"].shape != width or not np.isfinite(state["centroids"]).all():
                raise ValueError(f"the centroids must be finite, of shape {width}")
            self._cells = self._made(state["centroids"])
        if not len(state["fitness"]):
            return
        cells = self._ribs()
        places = self.cells_of(state["measures"])
        if np.unique(places).size < places.size:
            raise ValueError("the archive has two elites in one cell")
        cells.add(state["addresses"], state["fitness"], state["measures"])
        for name in ("rows", "luck", "again", "counts"):
            getattr(self, name)[places] = state[name]
        self.born[places] = state["addresses"][:, 0]

    def _listed(self) -> dict[str, NDArray[Any]]:
        """The elites as ribs has them, by ascending cells."""
        if self._elites is None and self._cells is None:
            width = self._settings.num_measures
            return {
                "index": np.zeros(0, np.int64),
                "objective": np.zeros(0),
                "measures": np.zeros((0, width)),
                "solution": np.zeros((0, 2), np.int64),
            }
        if self._elites is None:
            found = self._cells.data(["index", "objective", "measures", "solution"])
            order = np.argsort(found["index"])
            self._elites = {name: array[order] for name, array in found.items()}
            self._elites["index"] = self._elites["index"].astype(np.int64)
        return self._elites

    def _ribs(self) -> Any:
        """The archive of ribs, made when it is first needed: workers need none."""
        if self._cells is None:
            settings = self._settings
            centroids = None
            if settings.archive == "cvt":
                centroids = _centroids(settings.shape[0], tuple(settings.ranges), self._seed)
            self._cells = self._made(centroids)
        return self._cells

    def _made(self, centroids: Floats | None) -> Any:
        from ribs.archives import CVTArchive, GridArchive

        settings = self._settings
        shared: dict[str, Any] = {"solution_dim": 2, "ranges": settings.ranges}
        shared |= {"solution_dtype": np.int64, "objective_dtype": np.float64}
        shared["measures_dtype"] = np.float64
        if centroids is None:
            return GridArchive(dims=settings.shape, **shared)
        return CVTArchive(centroids=centroids, **shared)


def check_installed() -> None:
    """Raises UserError unless the ``ribs`` package is there."""
    if find_spec("ribs") is None:
        raise UserError(
            f"quality diversity needs ribs, which is not installed; {pip_install('qd')}"
        )


@lru_cache(maxsize=1)
def _centroids(count: int, ranges: tuple[tuple[float, float], ...], seed: int) -> Floats:
    """The centres of a centroidal Voronoi tessellation (Vassiliades, Chatzilygeroudis, Mouret 2018,
    doi 10.1109/TEVC.2017.2735550), (count, num_measures), the same on any number of cores.
    """
    from ribs.archives import k_means_centroids

    own = derive_seed(derive_key(seed, "centroids")) % (1 << 32)
    samples = max(2 * count, min(_SAMPLES_PER_CELL * count, _MOST_SAMPLES))
    with threadpool_limits(1):
        found, _ = k_means_centroids(centroids=count, ranges=ranges, samples=samples, seed=own)
    return np.asarray(found, np.float64)
