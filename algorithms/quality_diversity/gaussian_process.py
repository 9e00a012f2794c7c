"""A Gaussian process over the elites of an archive, with a prior mean and no parameter to fit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def matern(distances: Floats, width: float) -> Floats:
    """The Matern 5/2 kernel, 1 at distance 0; ``width`` is its length scale, rho."""
    scaled = math.sqrt(5) * distances / width
    kernel: Floats = (1 + scaled + scaled**2 / 3) * np.exp(-scaled)
    return kernel


class GaussianProcess:
    """The process at fixed points, conditioned on one observation after another.

    It holds a column for each observation, so it costs num_points x num_observations numbers and no
    matrix is factored. All sums are of elements, whose order no number of threads changes.

    Args:
        points: (num_points, dimension).
        prior: (num_points,) the mean before any observation.
        width: of the kernel.
        noise: variance of an observation.

    Attributes:
        mean: (num_points,) of the posterior.
        variance: (num_points,) of the posterior, without that of an observation.
    """

    def __init__(self, points: Floats, prior: Floats, width: float, noise: float) -> None:
        self._points = points
        self._width = width
        self._noise = noise
        self._columns: list[Floats] = []
        self.mean = prior.copy()
        self.variance = np.ones(prior.size)

    def observe(self, point: int, value: float) -> None:
        """Condition on a value that was observed at a point, given by its place."""
        apart = np.sqrt(np.sum((self._points - self._points[point]) ** 2, axis=1))
        covariance = matern(apart, self._width)
        for column in self._columns:
            covariance -= column * column[point]
        spread = math.sqrt(self.variance[point] + self._noise)
        column = covariance / spread
        self.mean = self.mean + column * ((value - self.mean[point]) / spread)
        self.variance = np.maximum(self.variance - column**2, 0.0)
        self._columns.append(column)
