"""The linear-quadratic model of lq-CMA-ES (Hansen 2019, "A global surrogate assisted CMA-ES", doi
10.1145/3321707.3321842).

The model is linear at first, then has a diagonal and at last all of a quadratic form, as soon as
there are enough points. It is fitted by least squares; better points weigh more, and the worst
quarter is left out. Constants are those of the ``cma`` package 4.5. Coordinates are relative to the
best point, in units of the points' deviations, which the paper's are not: the fit then stays exact
near an optimum that is far from 0.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState

Floats = NDArray[np.float64]

_TRUNCATION = 0.75  # share of the points, the better ones, that the model is fitted to
_SPARE = 1.1  # points for each coefficient before a model becomes larger
_LARGEST_WEIGHT = 20.0  # of the best point; the last one has 1
_MOST_COEFFICIENTS = 1000  # of a full model: fits of 45 parameters and more take a second


class QuadraticModel(SavedState):
    """The points that were evaluated, and a model of their cost.

    Args:
        n: number of parameters.
        population_size: lambda; at least as many points are kept.

    Attributes:
        points: (num_points, n), newest first, the best of a generation before the others.
        costs: (num_points,), lower is better.
    """

    saved = ("points", "costs")

    def __init__(self, n: int, population_size: int) -> None:
        self.n = n
        self.points: Floats = np.zeros((0, n))
        self.costs: Floats = np.zeros(0)
        sizes = [n + 1, 2 * n + 1, n * (n + 3) // 2 + 1]
        self._sizes = [size for size in sizes if size <= max(2 * n + 1, _MOST_COEFFICIENTS)]
        self._most = max(2 * self._sizes[-1], population_size)
        self._fit: tuple[Floats, Floats, Floats] | None = None

    @property
    def size(self) -> int:
        """The number of coefficients: of a linear, a diagonal or a full quadratic function."""
        ready = [size for size in self._sizes[1:] if _TRUNCATION * self.costs.size >= _SPARE * size]
        return max(ready, default=self._sizes[0])

    def add(self, points: Floats, costs: Floats) -> None:
        """Add evaluated points, (num_points, n) with their costs, and forget the oldest ones."""
        self.points = np.concatenate([points, self.points])[: self._most]
        self.costs = np.concatenate([costs, self.costs])[: self._most]
        self._fit = None

    def sort(self, count: int) -> None:
        """Put the best of the newest ``count`` points first."""
        order = np.argsort(self.costs[:count], kind="stable")
        self.points[:count] = self.points[order]
        self.costs[:count] = self.costs[order]

    def predicted(self, points: Floats) -> Floats:
        """Return the model's costs of points, (num_points,); 0 without any data."""
        if not self.costs.size:
            return np.zeros(len(points))
        coefficients, centre, scales = self._fitted()
        return self._features((points - centre) / scales) @ coefficients

    def correlation(self, count: int) -> float:
        """Return Kendall's rank correlation of costs and model over the newest points; 0 if there
        are fewer than three.
        """
        count = min(count, self.costs.size)
        if count < 3:
            return 0.0
        return kendall(self.costs[:count], self.predicted(self.points[:count]))

    def derivatives(self, at: Floats) -> tuple[Floats, Floats]:
        """Return the model's gradient at a point, (n,), and its Hessian, (n, n)."""
        n = self.n
        coefficients, centre, scales = self._fitted()
        hessian = np.zeros((n, n))
        if coefficients.size > n + 1:
            hessian[np.diag_indices(n)] = 2 * coefficients[n + 1 : 2 * n + 1]
        if coefficients.size > 2 * n + 1:
            rows, columns = np.triu_indices(n, 1)
            hessian[rows, columns] = hessian[columns, rows] = coefficients[2 * n + 1 :]
        gradient = coefficients[1 : n + 1] + hessian @ ((at - centre) / scales)
        return gradient / scales, hessian / np.outer(scales, scales)

    def restore(self, state: dict[str, NDArray[np.float64]]) -> None:
        super().restore(state)
        self._fit = None

    def _fitted(self) -> tuple[Floats, Floats, Floats]:
        """Return the coefficients, and the centre and the scales of their coordinates."""
        if self._fit is None:
            size = self.size
            number = max(size + 2, int(_TRUNCATION * (self.costs.size + 1)))
            order = np.argsort(self.costs, kind="stable")[:number]
            points = self.points[order]
            costs = self.costs[order]

            centre = points[0]
            spread = points.std(axis=0)
            scales = np.where(spread > 0, spread, 1.0)
            weights = np.linspace(_LARGEST_WEIGHT, 1, order.size)[:, None]
            features = self._features((points - centre) / scales)
            unit = float(np.ptp(costs)) or 1.0
            right = weights[:, 0] * ((costs - costs[0]) / unit)
            found = np.linalg.lstsq(weights * features, right, rcond=None)[0] * unit
            found[0] += costs[0]
            self._fit = found, centre, scales
        return self._fit

    def _features(self, rows: Floats) -> Floats:
        """Return 1, x_i and, in larger models, x_i^2 and x_i x_j, (num_rows, size)."""
        columns = [np.ones((len(rows), 1)), rows]
        if self.size > self.n + 1:
            columns.append(rows**2)
        if self.size > 2 * self.n + 1:
            first, second = np.triu_indices(self.n, 1)
            columns.append(rows[:, first] * rows[:, second])
        return np.concatenate(columns, axis=1)


def kendall(first: Floats, second: Floats) -> float:
    """Return Kendall's rank correlation: concordant pairs minus discordant ones over all pairs.

    Pairs that tie in one of the two count as neither.
    """
    signs = np.sign(first[:, None] - first) * np.sign(second[:, None] - second)
    return float(signs.sum() / (first.size * (first.size - 1)))


def trust_region_step(gradient: Floats, hessian: Floats, radius: float) -> Floats:
    """Return the vector of at most this length, (n,), where g x + x H x / 2 is lowest.

    Args:
        gradient: (n,) g, not all 0.
        hessian: (n, n) H, symmetric.
        radius: of the region.
    """
    curvatures, axes = np.linalg.eigh(hessian)
    slopes = axes.T @ gradient
    least = curvatures[0]
    if least > 0:
        step = -slopes / curvatures
        if step @ step <= radius**2:
            return np.asarray(axes @ step)

    # The step is longest where the shift is smallest; bisect for the shift of the right length
    low = max(0.0, -least)
    high = low + float(np.sqrt(slopes @ slopes)) / radius + abs(least) * 1e-12
    for _ in range(100):
        shift = (low + high) / 2
        denominators = np.maximum(curvatures + shift, 1e-300)
        length = float(np.sqrt(np.sum((slopes / denominators) ** 2)))
        if not math.isfinite(length) or length > radius:
            low = shift
        else:
            high = shift
    return np.asarray(axes @ (-slopes / np.maximum(curvatures + high, 1e-300)))
