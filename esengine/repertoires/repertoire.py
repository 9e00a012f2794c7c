"""What an archive of quality diversity holds, once a run has made it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from esengine.errors import UserError, listed
from esengine.policies import Policy

Kind = Literal["grid", "cvt"]


@dataclass(frozen=True, eq=False)
class Repertoire:
    """An archive: one solution for each cell of the space of measures that has one.

    Attributes:
        kind: boxes (grid), or cells around centroids (cvt).
        names: of the measures.
        ranges: the lowest and the highest value of each measure.
        shape: cells along each measure of a grid, or the number of cells.
        least_fitness: the QD score adds up by how much elites exceed it.
        cells: (num_elites,) int64 in ascending order; in a grid, of the last measure first.
        fitness: (num_elites,) float64.
        measures: (num_elites, num_measures) float64.
        evaluations: (num_elites,) int64, what fitness and measures are a mean of.
        solutions: (num_elites, dimension): points of the objective, or parameters of the policy.
        centroids: (num_cells, num_measures) float64, the centres of the cells; None for a grid.
        policy: the policy with the parameters of the first elite, or None.
    """

    kind: Kind
    names: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    shape: tuple[int, ...]
    least_fitness: float
    cells: NDArray[np.int64]
    fitness: NDArray[np.float64]
    measures: NDArray[np.float64]
    evaluations: NDArray[np.int64]
    solutions: NDArray[np.floating] = field(repr=False)
    centroids: NDArray[np.float64] | None = field(default=None, repr=False)
    policy: Policy | None = field(default=None, repr=False)

    @property
    def num_cells(self) -> int:
        """The number of cells, with or without an elite."""
        return math.prod(self.shape)

    @property
    def coverage(self) -> float:
        """The share of cells that have an elite."""
        return self.cells.size / self.num_cells

    @property
    def qd_score(self) -> float:
        """The sum over the elites of how much they exceed the least useful fitness."""
        return float(np.sum(self.fitness - self.least_fitness))

    def elite_of(self, cell: Sequence[int]) -> int:
        """The place of the elite of a cell.

        Args:
            cell: its number along each measure of a grid, from 0 on, or its number.

        Raises:
            UserError: there is no such cell, or it is empty.
        """
        example = ",".join(map(str, self.coordinates(0))) if self.cells.size else "0"
        shape = self.shape if len(cell) > 1 or len(self.shape) == 1 else (self.num_cells,)
        if len(cell) != len(shape) or any(
            not 0 <= number < size for number, size in zip(cell, shape, strict=False)
        ):
            raise UserError(
                f"--cell must give a cell of the archive, which has {listed(self.shape)}, got "
                f"{listed(cell)}; for example {example}"
            )
        place = int(np.searchsorted(self.cells, np.ravel_multi_index(tuple(cell), shape)))
        if place < self.cells.size and self.coordinates(place, shape) == tuple(cell):
            return place
        raise UserError(
            f"--cell must be a cell with an elite, got {listed(cell)}, which is empty; for example "
            f"{example}"
        )

    def coordinates(self, elite: int, shape: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The cell of an elite, as `elite_of` takes it."""
        found = np.unravel_index(int(self.cells[elite]), shape or self.shape)
        return tuple(int(number) for number in found)

    def nearest(self, measures: ArrayLike) -> int:
        """The place of the elite whose measures are nearest, in units of their ranges."""
        apart = self.scaled_measures() - self._scaled(np.asarray(measures, np.float64))
        return int(np.argmin(np.sum(apart**2, axis=1)))

    def scaled_measures(self) -> NDArray[np.float64]:
        """The measures of the elites, from 0 to 1 within their ranges, (num_elites,
        num_measures).
        """
        return self._scaled(self.measures)

    def _scaled(self, measures: NDArray[np.float64]) -> NDArray[np.float64]:
        low, high = np.array(self.ranges).T
        scaled: NDArray[np.float64] = (measures - low) / (high - low)
        return scaled

    def best(self) -> int:
        """The place of the elite with the highest fitness."""
        return int(np.argmax(self.fitness))

    def policy_of(self, elite: int) -> Policy:
        """The policy of an elite. Raises UserError for an archive of points."""
        if self.policy is None:
            raise UserError(
                "the archive must be of policies, got one of points of a function; use its "
                "solutions"
            )
        return replace(self.policy, parameters=np.array(self.solutions[elite], np.float32))

    def policies(self) -> list[Policy]:
        """The policies of all elites. Raises UserError for an archive of points."""
        return [self.policy_of(elite) for elite in range(self.cells.size)]
