"""The two problems of pyribs' examples: a shifted sphere (Fontaine et al. 2020, section 5) and the
inverse kinematics of a planar arm (Vassiliades, Mouret 2018). Fitness lies between 0 and 100.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIMENSION = 100
_BOUND = 5.12
_SHIFT = 0.4 * _BOUND


class Task(NamedTuple):
    """A problem with its archive.

    Attributes:
        name: of the function in this module.
        width: measures lie between minus and plus this.
        sigma: the first standard deviation.
    """

    name: str
    width: float
    sigma: float


TASKS = (Task("sphere", DIMENSION / 2 * _BOUND, 0.5), Task("arm", float(DIMENSION), 0.2))
CELLS = (100, 100)


def sphere(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(num_points, 3): fitness, and the sums of the clipped first and second half."""
    worst = (-_BOUND - _SHIFT) ** 2 * points.shape[1]
    raw = np.sum((points - _SHIFT) ** 2, axis=1)
    outside = np.abs(points) > _BOUND
    clipped = points.copy()
    clipped[outside] = _BOUND / points[outside]
    half = points.shape[1] // 2
    first, second = clipped[:, :half].sum(axis=1), clipped[:, half:].sum(axis=1)
    return np.column_stack([100 * (1 - raw / worst), first, second])


def arm(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(num_points, 3): fitness, which falls with the variance of the angles, and the place of the
    end of an arm of links of length 1.
    """
    directions = np.cumsum(angles, axis=1)
    x, y = np.cos(directions).sum(axis=1), np.sin(directions).sum(axis=1)
    return np.column_stack([100 * (1 - angles.var(axis=1)), x, y])
