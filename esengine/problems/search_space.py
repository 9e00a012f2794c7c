"""Which points an objective may be asked for: bounds, fixed variables and whole numbers.

A search moves freely in as many numbers as there are variables to search; `SearchSpace.points` maps
them into the space. So every strategy can have bounds, and none needs to handle them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SearchSpace:
    """A box with some variables fixed and some whole.

    Variables between two bounds are mapped by the boundary transformation of the ``cma`` package
    (`into_bounds`), whole ones by clipping and rounding; so the map is the identity over most of
    the box.

    Attributes:
        lower, upper: (num_variables,) float64 bounds, infinite where there is none.
        scales: (num_variables,) float64 units in which the search moves, so that one sigma fits all
            variables.
        fixed: (num_variables,) float64 value of each fixed variable, NaN where a variable is
            searched.
        whole: (num_variables,) bool, which variables are whole numbers.
    """

    lower: Floats
    upper: Floats
    scales: Floats
    fixed: Floats
    whole: NDArray[np.bool_]

    @classmethod
    def free(cls, num_variables: int) -> SearchSpace:
        """All of R^num_variables."""
        ones = np.ones(num_variables)
        return cls(
            -np.inf * ones, np.inf * ones, ones, np.nan * ones, np.zeros(num_variables, bool)
        )

    @property
    def num_variables(self) -> int:
        return self.lower.size

    @property
    def is_free(self) -> bool:
        """Whether rows are the points themselves."""
        bounded = (
            np.isfinite(self.lower) | np.isfinite(self.upper) | ~np.isnan(self.fixed) | self.whole
        )
        return not (bounded | (self.scales != 1)).any()

    @property
    def searched(self) -> NDArray[np.int64]:
        """The variables that are not fixed, (dimension,)."""
        return np.flatnonzero(np.isnan(self.fixed))

    @property
    def dimension(self) -> int:
        """Number of parameters that a search has."""
        return int(np.isnan(self.fixed).sum())

    @property
    def lattice(self) -> Lattice:
        """The whole numbers among what is searched."""
        mine = self.searched
        indices = np.flatnonzero(self.whole[mine])
        variables = mine[indices]
        return Lattice(
            indices,
            np.ceil(self.lower[variables]),
            np.floor(self.upper[variables]),
            self.scales[variables],
        )

    def points(self, rows: NDArray[np.floating]) -> Floats:
        """What a search's rows stand for, (num_rows, num_variables), of rows (num_rows,
        dimension).
        """
        mine = self.searched
        moved = rows * self.scales[mine]
        whole = self.whole[mine]
        lower, upper = self.lower[mine], self.upper[mine]
        inside = into_bounds(moved, lower, upper)
        inside[:, whole] = np.clip(np.floor(moved + 0.5), np.ceil(lower), np.floor(upper))[:, whole]
        points = np.tile(self.fixed, (len(rows), 1))
        points[:, mine] = inside
        return points

    def rows(self, points: Floats) -> Floats:
        """Rows, (num_points, dimension), that stand for points of the space, (num_points,
        num_variables).
        """
        mine = self.searched
        inside = points[:, mine]
        rows = np.where(
            self.whole[mine], inside, out_of_bounds(inside, self.lower[mine], self.upper[mine])
        )
        return np.asarray(rows / self.scales[mine], np.float64)


@dataclass(frozen=True)
class Lattice:
    """The whole numbers among a search's parameters.

    Attributes:
        indices: (num_whole,) int64 which parameters.
        lowest, highest: (num_whole,) float64 their least and greatest value, infinite where there
            is none.
        scales: (num_whole,) float64 what a parameter is multiplied by to become the whole number.
    """

    indices: NDArray[np.int64]
    lowest: Floats
    highest: Floats
    scales: Floats


def into_bounds(found: NDArray[np.floating], lower: Floats, upper: Floats) -> Floats:
    """What was found anywhere, (num_rows, n), mapped into a box, coordinate by coordinate; as the
    ``cma`` package does it.

    The identity but for a margin at each bound, within which the slope falls to 0 at a margin's
    width beyond the bound; from there on mirrored, so that it is smooth and every value beyond
    stands for one inside.
    """
    below, above = _margins(lower, upper)
    low, high = lower - below, upper + above  # what is mapped one to one
    rows: Floats = np.array(found, np.float64)
    beyond = (rows < low) | (rows > high)
    if beyond.any():
        rows[beyond] = _mirrored(rows, low, high)[beyond]
    near_low, near_high = rows < lower + below, rows > upper - above
    with np.errstate(invalid="ignore"):  # infinite bounds have no margin
        rows[near_low] = (lower + (rows - low) ** 2 / (4 * below))[near_low]
        rows[near_high] = (upper - (rows - high) ** 2 / (4 * above))[near_high]
    return np.clip(rows, lower, upper)


def out_of_bounds(points: NDArray[np.floating], lower: Floats, upper: Floats) -> Floats:
    """The rows nearest to the box that `into_bounds` maps to points of the box, (num_points, n)."""
    below, above = _margins(lower, upper)
    with np.errstate(invalid="ignore"):
        left = lower - below + 2 * np.sqrt(below * np.maximum(points - lower, 0))
        right = upper + above - 2 * np.sqrt(above * np.maximum(upper - points, 0))
    return np.asarray(
        np.where(points < lower + below, left, np.where(points > upper - above, right, points)),
        np.float64,
    )


def _margins(lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
    """Width of the curved part at each lower and upper bound, (n,) each: a twentieth of the bound,
    at most half the box.
    """
    half = (upper - lower) / 2
    margins = (np.minimum(half, np.maximum(1, np.abs(bound)) / 20) for bound in (lower, upper))
    below, above = (
        np.where(np.isfinite(bound), margin, 1.0)
        for bound, margin in zip((lower, upper), margins, strict=True)
    )
    return below, above


def _mirrored(rows: Floats, low: Floats, high: Floats) -> Floats:
    """Rows reflected at ``low`` and ``high`` until they lie between."""
    with np.errstate(invalid="ignore"):
        along = np.mod(rows - low, 2 * (high - low))
        both = low + np.minimum(along, 2 * (high - low) - along)
    return np.where(
        np.isfinite(low) & np.isfinite(high),
        both,
        np.where(np.isfinite(low), 2 * low - rows, 2 * high - rows),
    )
