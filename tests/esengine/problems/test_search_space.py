from __future__ import annotations

import numpy as np
import pytest
from cma.transformations import BoxConstraintsLinQuadTransformation
from numpy.typing import NDArray

from esengine.problems.search_space import SearchSpace, into_bounds, out_of_bounds

Floats = NDArray[np.float64]
BOXES = [
    (np.array([-5.0, 0, 0.1, -np.inf, -3, -np.inf]), np.array([5.0, 1, 0.2, 4, np.inf, np.inf])),
    (np.full(6, 100.0), np.full(6, 100.001)),
]


@pytest.mark.parametrize(("lower", "upper"), BOXES)
def test_bounds_are_those_of_the_cma_package(lower: Floats, upper: Floats) -> None:
    bounds = [
        [None if np.isinf(a) else a, None if np.isinf(b) else b]
        for a, b in zip(lower, upper, strict=True)
    ]
    theirs = BoxConstraintsLinQuadTransformation(bounds)
    rows = 10 * np.random.default_rng(0).standard_normal((300, 6))
    ours = into_bounds(rows, lower, upper)
    np.testing.assert_allclose(ours, [theirs(row) for row in rows], rtol=1e-12, atol=1e-12)
    assert ((ours >= lower) & (ours <= upper)).all()


@pytest.mark.parametrize(("lower", "upper"), BOXES)
def test_a_point_of_the_box_has_a_row(lower: Floats, upper: Floats) -> None:
    points = into_bounds(np.random.default_rng(1).standard_normal((300, 6)), lower, upper)
    np.testing.assert_allclose(
        into_bounds(out_of_bounds(points, lower, upper), lower, upper), points, rtol=1e-12
    )


def test_a_space_fixes_rounds_and_scales() -> None:
    space = SearchSpace(
        lower=np.array([0.0, -np.inf, -1.5, -np.inf]),
        upper=np.array([1.0, np.inf, 2.5, np.inf]),
        scales=np.array([1.0, 1, 1, 100]),
        fixed=np.array([np.nan, 7, np.nan, np.nan]),
        whole=np.array([False, False, True, False]),
    )
    assert space.dimension == 3
    points = space.points(np.array([[0.5, 0.6, 2], [9.3, 99, -1], [0.5, -99, 0]]))
    np.testing.assert_array_equal(points[0], [0.5, 7, 1, 200])
    np.testing.assert_array_equal(points[:, 1:3], [[7, 1], [7, 2], [7, -1]])
    np.testing.assert_allclose(space.points(space.rows(points)), points)
    lattice = space.lattice
    assert (lattice.indices.tolist(), lattice.lowest.tolist(), lattice.highest.tolist()) == (
        [1],
        [-1],
        [2],
    )
