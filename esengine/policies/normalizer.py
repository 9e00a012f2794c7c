"""The running mean and variance of observations in float64, merged in the order of chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel


@kernel
def accumulate(moments: NDArray[np.float64], observation: NDArray[np.float32]) -> None:
    """Add one observation to packed moments (Welford 1962).

    Args:
        moments: (1 + 2 * obs_dim,) float64: count, mean, M2 (sum of squared deviations); updated in
            place.
        observation: (obs_dim,) float32.
    """
    size = observation.size
    moments[0] += 1.0
    inverse = 1.0 / moments[0]
    mean = moments[1 : 1 + size]
    m2 = moments[1 + size : 1 + 2 * size]

    for k in range(size):
        delta = observation[k] - mean[k]
        mean[k] += delta * inverse
        m2[k] += delta * (observation[k] - mean[k])


def accumulate_reference(moments: NDArray[np.float64], observation: NDArray[np.float32]) -> None:
    """NumPy twin of `accumulate`."""
    size = observation.size
    moments[0] += 1.0
    delta = observation - moments[1 : 1 + size]
    moments[1 : 1 + size] += delta * (1.0 / moments[0])
    moments[1 + size :] += delta * (observation - moments[1 : 1 + size])


@kernel
def merge_moments(moments: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    """Add packed moments to packed moments, in place (Chan, Golub, LeVeque 1983)."""
    if other[0] == 0.0:
        return

    size = (moments.size - 1) // 2
    total = moments[0] + other[0]
    share = other[0] / total
    product = moments[0] * other[0] / total

    for k in range(1, 1 + size):
        delta = other[k] - moments[k]
        moments[k] += delta * share
        moments[k + size] = moments[k + size] + other[k + size] + delta * delta * product

    moments[0] = total


def merge_moments_reference(moments: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    """NumPy twin of `merge_moments`."""
    if other[0] == 0:
        return

    size = (moments.size - 1) // 2
    total = moments[0] + other[0]
    delta = other[1 : 1 + size] - moments[1 : 1 + size]
    moments[1 : 1 + size] += delta * (other[0] / total)
    moments[1 + size :] += other[1 + size :]
    moments[1 + size :] += delta * delta * (moments[0] * other[0] / total)
    moments[0] = total


def reach_scale(
    observations: NDArray[np.floating],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The float32 (mean, 1 / reach) that put given observations within [-1, 1].

    The reach of a coordinate is its largest distance from its mean. Unlike a standard deviation,
    it does not depend on how long an expert rests: the way to the rest keeps its size, and nothing
    is clipped. A coordinate whose reach is below 1e-4 of its scale has no signal and gets scale 0.

    Args:
        observations: (num_steps, observation_dim).
    """
    exact = observations.astype(np.float64)
    mean = exact.mean(axis=0)
    reach = np.abs(exact - mean).max(axis=0)
    varies = reach > 1e-4 * np.maximum(1.0, np.abs(mean))
    inverse = np.where(varies, 1.0 / np.where(varies, reach, 1.0), 0.0)
    return mean.astype(np.float32), inverse.astype(np.float32)


@dataclass
class RunningStatistics:
    """Count, mean and sum of squared deviations of all observations merged so far.

    Attributes:
        count: number of observations.
        mean: (obs_dim,) float64.
        m2: (obs_dim,) float64, sum of squared deviations from the mean.
    """

    count: float
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]

    @classmethod
    def empty(cls, observation_dim: int) -> RunningStatistics:
        return cls(0.0, np.zeros(observation_dim), np.zeros(observation_dim))

    def merge(self, moments: NDArray[np.float64]) -> None:
        """Add packed moments of a chunk. The caller must call it in the order of chunks."""
        packed = self.pack()
        merge_moments(packed, moments)
        size = self.mean.size
        self.count = float(packed[0])
        self.mean = packed[1 : 1 + size]
        self.m2 = packed[1 + size :]

    def pack(self) -> NDArray[np.float64]:
        """The packed moments, (1 + 2 * obs_dim,) float64, as `accumulate` fills and `merge` takes
        them.
        """
        return np.concatenate([[self.count], self.mean, self.m2])

    def scale(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The float32 (mean, 1 / std) that a policy applies to observations.

        A coordinate whose variance is below 1e-8 of its scale has no signal and would be amplified
        without limit, so it gets scale 0 (Mania 2018, V2).
        """
        if self.count < 2:
            return np.zeros(self.mean.size, np.float32), np.ones(self.mean.size, np.float32)

        variance = self.m2 / (self.count - 1)
        varies = variance > 1e-8 * np.maximum(1.0, self.mean**2)
        inverse_std = np.where(varies, 1.0 / np.sqrt(np.where(varies, variance, 1.0)), 0.0)
        return self.mean.astype(np.float32), inverse_std.astype(np.float32)
