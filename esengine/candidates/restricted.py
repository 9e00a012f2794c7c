"""Members drawn from a normal distribution whose covariance matrix is a diagonal one and a few
directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.noise import Noise


@dataclass(frozen=True)
class RestrictedSamples(Candidates):
    """Members mean + sigma * scales * d, where d is z = noise(seed, generation, member) stretched
    along a few directions.

    Attributes:
        sigma: step size.
        mean: (dimension,) in the problem's precision.
        scales: (dimension,) float64, of each parameter.
        directions: (num_directions, dimension) float64, orthonormal.
        stretches: (num_directions,) float64; d is 1 + stretches as long along the directions as z.
        path: (dimension,) float64, a vector whose products with the noise the strategy needs.
        probe: (dimension,) float64 in place of the noise of member 0, and with the opposite sign of
            that of member 1; empty if they have noise like all others.
    """

    sigma: float
    mean: NDArray[np.floating]
    scales: NDArray[np.float64]
    directions: NDArray[np.float64]
    stretches: NDArray[np.float64]
    path: NDArray[np.float64]
    probe: NDArray[np.float64]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    @property
    def num_probes(self) -> int:
        """The number of leading members without noise, 0 or 2."""
        return 2 if self.probe.size else 0

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        steps = np.empty((stop - start, self.dimension))
        noise.read_rows(noise.starts(self.seed, self.generation, np.arange(start, stop)), 0, steps)
        for member in range(start, min(stop, self.num_probes)):
            steps[member - start] = self.probe if member == 0 else -self.probe

        if self.stretches.size:
            for step in steps:  # one by one, since a product's bits depend on its shape
                step += (self.stretches * (self.directions @ step)) @ self.directions

        steps *= self.sigma * self.scales
        steps += self.mean
        return steps.astype(self.mean.dtype, copy=False)

    def inner_products(
        self, noise: Noise, members: NDArray[np.int64], start: int, stop: int
    ) -> NDArray[np.float64]:
        """The inner products of members' noise with the directions, the path, the probe, if there
        is one, and each other, over coordinates ``start`` to ``stop``.
        """
        normals = np.empty((members.size, stop - start))
        noise.read_rows(noise.starts(self.seed, self.generation, members), start, normals)
        others = self.vectors()[:, start:stop]
        return np.concatenate([normals @ others.T, normals @ normals.T], axis=1)

    @property
    def num_vectors(self) -> int:
        """The number of `vectors`."""
        return len(self.directions) + (2 if self.probe.size else 1)

    def vectors(self) -> NDArray[np.float64]:
        """The directions, the path and the probe, if there is one, (num_vectors, dimension)."""
        return np.concatenate(
            [self.directions, self.path[None], self.probe.reshape(-1, self.dimension)]
        )

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """The weights and starts of the members' noise, which members at the probe lack."""
        weights = weights.copy()
        weights[: self.num_probes] = 0
        return super().weighted_starts(noise, weights, power)
