"""How many directions VkD-CMA adapts (Akimoto, Hansen 2016, "Online model selection for restricted
covariance matrix adaptation", doi 10.1007/978-3-319-45823-6_1).

The number grows when the distribution has settled and all directions are in use. A direction whose
variance is small and shrinks is given up.
"""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState

T = TypeVar("T", float, NDArray[np.float64])

_LONG = 30.0  # variance of a direction in use, in units of that of the others
_GROWTH = 1.414
_SLOWDOWN = 3.0  # of sigma's convergence, at which it counts as settled
_SIGMA_SLOPE = 0.1
_VARIANCE_SLOPE = 0.3


class DirectionCount(SavedState):
    """The number of directions, and moving averages of what has changed.

    Args:
        n: number of parameters.
        population_size: lambda.
        log_sigma: of the first step size.

    Attributes:
        k: number of directions to adapt, at most n - 1.
    """

    saved = (
        "k",
        "_age",
        "_log_sigma",
        "_log_variances",
        "_log_lengths",
        "_sigma_slope",
        "_variance_slopes",
        "_length_slopes",
    )

    def __init__(self, n: int, population_size: int, log_sigma: float) -> None:
        self.n = n
        self.k = 0
        self._convergence = 0.5 * min(1.0, population_size / n) / _SLOWDOWN  # of ln sigma
        self._wait = 2 * n - 1  # generations

        self._age = 0  # generations since k grew
        self._log_sigma = log_sigma
        self._log_variances = np.zeros(n)
        self._log_lengths = np.zeros(0)
        self._sigma_slope = 0.0
        self._variance_slopes = np.zeros(n)
        self._length_slopes = np.zeros(0)

    def remember(
        self,
        log_sigma: float,
        log_variances: NDArray[np.float64],
        lengths: NDArray[np.float64],
    ) -> None:
        """Add a generation to the averages.

        Args:
            log_sigma: logarithm of the step size.
            log_variances: (n,) logarithms of the diagonal of the covariance matrix.
            lengths: (number of directions,) 1 + S.
        """
        self._age += 1
        self._sigma_slope = _moved(
            self._sigma_slope, log_sigma - self._log_sigma, self._convergence
        )
        self._log_sigma = log_sigma

        change = log_variances - self._log_variances
        self._variance_slopes = _moved(self._variance_slopes, change, 1 / self.n)
        self._log_variances = log_variances

        log_lengths = np.log(lengths)
        old = _resized(self._log_lengths, log_lengths.size)
        slopes = _resized(self._length_slopes, log_lengths.size)
        self._length_slopes = _moved(slopes, log_lengths - old, 1 / self.n)
        self._log_lengths = log_lengths

    def adapt(self, lengths: NDArray[np.float64], rate: float) -> NDArray[np.bool_]:
        """Change the number of directions, and return which of the present ones to keep.

        Args:
            lengths: (number of directions,) 1 + S.
            rate: c_1 + c_mu, the learning rate of the matrix.
        """
        keep = np.ones(lengths.size, bool)
        if self._age <= self._wait:
            return keep

        in_use = lengths.size >= self.k and bool(np.all(lengths > _LONG))
        settled = abs(self._sigma_slope) / self._convergence < _SIGMA_SLOPE
        settled = settled and bool(np.all(np.abs(self._variance_slopes) / rate < _VARIANCE_SLOPE))
        if self.k < self.n - 1 and in_use and settled:
            self.k = min(max(math.ceil(self.k * _GROWTH), self.k + 1), self.n - 1)
            self._age = 0
            return keep

        unused = (lengths < _LONG) & (self._length_slopes < 0)
        if self._age > self.k * self._wait and unused.any():
            keep = ~unused
            self.k = int(np.count_nonzero(keep))
            self._log_lengths = self._log_lengths[keep]
            self._length_slopes = self._length_slopes[keep]
        return keep


def _moved(average: T, value: T, rate: float) -> T:
    return average + rate * (value - average)


def _resized(values: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return the first values, with zeros for those that are missing."""
    return np.concatenate([values, np.zeros(size)])[:size]
