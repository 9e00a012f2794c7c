"""Members drawn from a normal distribution with any covariance."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.noise import Noise

_SAMPLE_BLOCK = 16  # members that share a matrix product, since one vector at a time runs at the speed of memory


@dataclass(frozen=True)
class GaussianSamples(Candidates):
    """Members drawn from a normal distribution: mean + sigma * A z with z = noise(seed, generation, member).

    Attributes:
        sigma: step size.
        mean: (dimension,) float64.
        transform: (dimension, dimension) float64 A with A A^T = C, or (0, 0) for the identity.
    """

    sigma: float
    mean: NDArray[np.float64]
    transform: NDArray[np.float64]
    _block: list[Any] = field(default_factory=lambda: [-1, None], repr=False, compare=False)  # sampled last: number, rows

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def shared(self) -> Message:
        header = {name: getattr(self, name) for name in ("seed", "generation", "population_size", "sigma")}
        return header, {"mean": self.mean, "transform": self.transform}

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.float64]:
        rows = np.empty((stop - start, self.dimension))
        for block in range(start // _SAMPLE_BLOCK, -(-stop // _SAMPLE_BLOCK)):
            first = block * _SAMPLE_BLOCK
            if self._block[0] != block:  # neighbours are asked for one after the other
                last = min(first + _SAMPLE_BLOCK, self.population_size)
                self._block[:] = block, self.mean + self.sigma * self._steps(noise, first, last, _SAMPLE_BLOCK)[0]
            low, high = max(start, first), min(stop, first + _SAMPLE_BLOCK)
            rows[low - start : high - start] = self._block[1][low - first : high - first]
        return rows

    def moment_chunk_size(self) -> int:
        """Members of a chunk of `moments`: enough that one partial covariance costs less to send than to compute."""
        return max(32, self.dimension, -(-self.population_size // 256))

    def moments(
        self, noise: Noise, weights: NDArray[np.float64], start: int, stop: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted sums over a chunk of members: sum of w+ y, (n,), and sum of w' y y^T, (n, n).

        y = (x - mean) / sigma. The first sum takes the positive weights only, since they alone move the mean. In the second
        a negative weight is rescaled by n / |C^(-1/2) y|^2, which bounds its effect (arXiv 1604.00772, eq. 46).
        """
        steps, normals = self._steps(noise, start, stop, self.moment_chunk_size())
        chunk = np.zeros(len(steps))
        chunk[: stop - start] = weights[start:stop]
        lengths = np.sqrt(np.sum(normals**2, axis=1))
        rescaled = np.where(chunk < 0, chunk * self.dimension / (lengths + 1e-9) ** 2, chunk)
        return np.maximum(chunk, 0) @ steps, (rescaled[:, None] * steps).T @ steps

    def _steps(self, noise: Noise, start: int, stop: int, padded: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """y = A z and z of a chunk, both (padded, n); the rows past the chunk's end are zero."""
        normals = np.zeros((padded, self.dimension))
        starts = noise.starts(self.seed, self.generation, np.arange(start, stop))
        for row, first in zip(normals, starts, strict=False):
            noise.read(first, row)
        return (normals @ self.transform.T if self.transform.size else normals.copy()), normals
