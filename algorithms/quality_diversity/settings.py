"""The settings that all methods of quality diversity share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import Strategy
from esengine.checks import at_least, finite, one_of, positive
from esengine.errors import UserError, listed

_USUAL_CELLS = 2500  # of a grid; the papers' archives have 1,000 to 10,000
_MOST_CELLS = 1 << 24

Kind = Literal["grid", "cvt"]


@dataclass(frozen=True)
class ArchiveSettings:
    """The archive: one elite for each cell of the space of measures."""

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {"normalize_observations": False}

    population_size: int = 540
    """Members per generation, over all emitters together, without the re-evaluated elites."""
    measure_ranges: tuple[float, ...] = ()
    """Lowest and highest value of each measure, one pair after another; a measure beyond them
    belongs to the outermost cell.
    """
    measures: tuple[str, ...] = ()
    """Columns of --returns that are the measures, by name; default all with m:, or the behaviour
    where there are none.
    """
    archive: Kind = "grid"
    """Cells of equal boxes (grid), or around points that fill the space evenly (cvt), for more than
    three measures.
    """
    cells: tuple[int, ...] = ()
    """Cells along each measure of a grid, or the number of cells of cvt; default about 2500 in
    all.
    """
    least_fitness: float = 0.0
    """The least useful fitness: the QD score adds up by how much each elite exceeds it."""
    reevaluate: int = 0
    """Elites per generation that are evaluated again, those with the fewest evaluations first, so
    that a lucky one loses its cell.
    """

    @property
    def num_measures(self) -> int:
        """The number of measures."""
        return len(self.measure_ranges) // 2

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """The lowest and the highest value of each measure."""
        numbers = self.measure_ranges
        return list(zip(numbers[::2], numbers[1::2], strict=True))

    @property
    def shape(self) -> tuple[int, ...]:
        """The cells along each measure of a grid, or the number of cells."""
        if self.cells:
            return self.cells
        if self.archive == "cvt":
            return (_USUAL_CELLS,)
        each = max(2, round(_USUAL_CELLS ** (1 / max(1, self.num_measures))))
        return (each,) * self.num_measures

    def check(self) -> None:
        """Raises UserError for settings that define no archive."""
        one_of("--archive", self.archive, get_args(Kind), "grid has boxes")
        at_least(self, 1, "population_size")
        at_least(self, 0, "reevaluate")
        finite(self, "least_fitness")
        numbers = self.measure_ranges
        if not numbers or len(numbers) % 2 or not all(map(math.isfinite, numbers)):
            raise UserError(
                f"--measure-ranges must give the lowest and the highest value of each measure, got "
                f"{listed(numbers) or 'none'}; for example --measure-ranges -1 1 0 10"
            )
        if not all(low < high for low, high in self.ranges):
            raise UserError(
                f"--measure-ranges must give each measure a lowest value below its highest one, "
                f"got {listed(numbers)}; for example --measure-ranges -1 1 0 10"
            )
        if self.measures and len(self.measures) != self.num_measures:
            raise UserError(
                f"--measures must have a pair of --measure-ranges each, got {listed(self.measures)}"
                f" and {len(numbers)} numbers; give {2 * len(self.measures)}"
            )
        if len(set(self.measures)) < len(self.measures):
            raise UserError(
                f"--measures must give each name once, got {listed(self.measures)}; drop one"
            )
        self._check_cells()

    def _check_cells(self) -> None:
        expected = self.num_measures if self.archive == "grid" else 1
        if len(self.shape) != expected or min(self.shape) < 1:
            way_out = "50 50 for two measures" if self.archive == "grid" else "1000"
            raise UserError(
                f"--cells must be {expected} of at least 1 with --archive {self.archive} and "
                f"{self.num_measures} measures, got {listed(self.shape)}; for example --cells "
                f"{way_out}"
            )
        if math.prod(self.shape) > _MOST_CELLS:
            raise UserError(
                f"--cells must make at most {_MOST_CELLS} cells, got {math.prod(self.shape)}; use "
                f"--archive cvt --cells 10000"
            )

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,)."""
        raise NotImplementedError


@dataclass(frozen=True)
class EmitterSettings(ArchiveSettings):
    """Several evolution strategies that are told by how much their members improve the archive."""

    sigma: float = 0.5
    """Initial standard deviation of every emitter."""
    emitters: int = 15
    """Number of strategies; --population-size is divided among them."""
    emitter: Literal["auto", "cma-es", "sep-cma-es"] = "auto"
    """The strategy of an emitter; auto is cma-es for up to 300 parameters, sep-cma-es for more."""

    def check(self) -> None:
        """Raises UserError for emitters that cannot be made."""
        super().check()
        positive(self, "sigma")
        at_least(self, 1, "emitters")
        one_of("--emitter", self.emitter, ("auto", "cma-es", "sep-cma-es"), "auto chooses one")
        if self.population_size % self.emitters or self.population_size < 4 * self.emitters:
            size = max(4, round(self.population_size / self.emitters)) * self.emitters
            raise UserError(
                f"--population-size must be a multiple of --emitters {self.emitters}, of at least "
                f"4 members each, got {self.population_size}; use {size}"
            )
