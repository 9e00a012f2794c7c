"""Members drawn from a normal distribution whose matrix is a product of a few rank-one factors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.noise import Noise


@dataclass(frozen=True)
class LimitedSamples(Candidates):
    """Members mean + sigma * d, where d is `transformed` from z = noise(seed, generation, member).

    Attributes:
        sigma: step size.
        mean: (dimension,) in the problem's precision.
        directions: (num_directions, dimension) float64, in the order in which they act.
        rates: (num_directions,) float64 c_i of each direction.
    """

    sigma: float
    mean: NDArray[np.floating]
    directions: NDArray[np.float64]
    rates: NDArray[np.float64]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        steps = np.empty((stop - start, self.dimension))
        noise.read_rows(noise.starts(self.seed, self.generation, np.arange(start, stop)), 0, steps)
        rows = np.empty(steps.shape, self.mean.dtype)
        for row, z in zip(rows, steps, strict=True):
            row[:] = self.mean + self.sigma * transformed(z, self.directions, self.rates)
        return rows


def transformed(
    z: NDArray[np.float64], directions: NDArray[np.float64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    """d from z, (n,): d <- (1 - c_i) d + c_i m_i (m_i . d) for each direction m_i and rate c_i.

    It is linear in z.
    """
    d = z.copy()
    for direction, rate in zip(directions, rates, strict=True):
        along = rate * float(direction @ d)
        d *= 1 - rate
        d += along * direction
    return d
