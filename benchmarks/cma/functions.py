"""Test functions that take all rows of a chunk in one call, and the problem that evaluates them
without Python per member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.problems import FAILED, MEMBER, OK, ArraySpec
from esengine.problems.contract import Evaluated

Rows = NDArray[np.float64]
Cost = Callable[[Rows], NDArray[np.float64]]
"""Costs of rows, (num_rows, dimension) to (num_rows,)."""


class RowsProblem:
    """A cost of many rows at once, so that a measured generation holds no objective worth naming.

    Args:
        cost: lower is better.
        dimension: number of parameters.
        together: members of a unit of work; 1 is what a user's plain function gets.
    """

    dtype = np.float64
    episodes_per_member = 1
    are_members_independent = True

    def __init__(self, cost: Cost, dimension: int, together: int = 1) -> None:
        self.cost, self.dimension, self.together = cost, dimension, together

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        """Records alone come back."""
        return ()

    def members_together(self, population_size: int) -> int:
        return self.together

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        records = np.zeros(len(rows), MEMBER)
        records["member"] = np.arange(first, first + len(rows))
        records["fitness"] = -self.cost(np.asarray(rows, np.float64))
        records["episodes"] = 1
        records["status"] = np.where(np.isfinite(records["fitness"]), OK, FAILED)
        return records, {}

    def merge(self, arrays: Mapping[str, Any]) -> None:
        """There are no arrays."""

    def context(self) -> dict[str, NDArray[Any]]:
        """Workers need nothing beside the population."""
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Nothing to use."""


def sphere(rows: Rows) -> NDArray[np.float64]:
    return np.asarray(np.sum(rows**2, axis=1))


def ellipsoid(rows: Rows) -> NDArray[np.float64]:
    """Axes with a ratio of 10^3, so condition 10^6."""
    n = rows.shape[1]
    return np.asarray(rows**2 @ (10.0 ** (6 * np.arange(n) / max(1, n - 1))))


def rosenbrock(rows: Rows) -> NDArray[np.float64]:
    terms = 100 * (rows[:, 1:] - rows[:, :-1] ** 2) ** 2 + (1 - rows[:, :-1]) ** 2
    return np.asarray(terms.sum(axis=1))


class RotatedEllipsoid:
    """The ellipsoid in an orthogonal basis drawn uniformly by a fixed seed."""

    def __init__(self, dimension: int) -> None:
        normals = np.random.default_rng(dimension).standard_normal((dimension, dimension))
        basis, triangle = np.linalg.qr(normals)
        self.basis = basis * np.sign(np.diag(triangle))

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        return ellipsoid(rows @ self.basis)


def functions(dimension: int) -> dict[str, Cost]:
    """The four functions by name; all have their minimum 0."""
    return {
        "sphere": sphere,
        "ellipsoid": ellipsoid,
        "rosenbrock": rosenbrock,
        "rotated ellipsoid": RotatedEllipsoid(dimension),
    }
