"""Members drawn from a normal distribution with a full covariance matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.candidates.pairs import pair_weights
from esengine.noise import Noise, kernels

_BLOCK_SIZE = 1 << 15  # numbers of the steps that are computed together, in the second-level cache


@dataclass(frozen=True)
class GaussianSamples(Candidates):
    """Members drawn from a normal distribution: mean + sigma * A z with z = noise(seed, generation,
    member).

    Attributes:
        sigma: step size.
        mean: (dimension,) float64.
        panels: A with A A^T = C, packed by `kernels.pack_panels`; empty if A is the identity.
        lineage: number of the strategy that asks, which ``factor`` refers to.
        factor: generation in which A was computed, so that A travels only when it has changed.
        mirrored: whether members 2k and 2k + 1 share z, the second with the opposite sign.
        triangular: whether A is lower triangular.
        injected: (num_injected, dimension) float64 points in place of the first members; they have
            no noise.
        factors: (dimension,) float64 by which the steps are multiplied along each axis; None for 1.
    """

    sigma: float
    mean: NDArray[np.float64]
    panels: NDArray[np.float64]
    lineage: int = 0
    factor: int = 0
    mirrored: bool = False
    triangular: bool = False
    injected: NDArray[np.float64] | None = None
    factors: NDArray[np.float64] | None = None
    _kept_steps: dict[int, NDArray[np.float64]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    @property
    def num_injected(self) -> int:
        """The number of leading members that are given points."""
        return 0 if self.injected is None else len(self.injected)

    def publish(self, previous: Candidates | None) -> Message:
        header, arrays = self.shared()
        if isinstance(previous, GaussianSamples) and self._follows(previous):
            del arrays["panels"]
        return header, arrays

    @classmethod
    def receive(
        cls,
        header: dict[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        previous: Candidates | None,
        noise: Noise,
    ) -> GaussianSamples:
        if "panels" not in arrays:
            assert isinstance(previous, GaussianSamples)
            arrays = {**arrays, "panels": previous.panels}
        return super().receive(header, arrays, previous, noise)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.float64]:
        rows = np.empty((stop - start, self.dimension))
        sigma = self.sigma if self.factors is None else self.sigma * self.factors
        block = max(64, _BLOCK_SIZE // self.dimension)

        for first in range(start, stop, block):
            last = min(first + block, stop)
            steps = self.steps(noise, np.arange(first, last))
            if self.population_size < 2 * self.dimension:  # `Population.covariance` uses them again
                self._kept_steps.update(zip(range(first, last), steps, strict=True))

            part = rows[first - start : last - start]
            np.multiply(steps, sigma, out=part)
            part += self.mean

        num_given = self.num_injected - start
        if self.injected is not None and num_given > 0:
            rows[:num_given] = self.injected[start : start + len(rows)]
        return rows

    def normals(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """z of any members, (num_members, dimension)."""
        windows = members // 2 if self.mirrored else members
        signs = 1.0 - 2 * (members % 2) if self.mirrored else None
        normals = np.empty((members.size, self.dimension))
        noise.read_rows(noise.starts(self.seed, self.generation, windows), 0, normals, signs)
        return normals

    def steps(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """y = A z of any members, (num_members, dimension). A member's bits do not depend on the
        others.
        """
        normals = self.normals(noise, members)
        if not self.panels.size:
            return normals
        product: NDArray[np.float64] = kernels.multiply_rows(normals, self.panels, self.triangular)
        return product[:, : self.dimension]

    def steps_again(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `steps`, without computing them again if this process still has all of them."""
        numbers = members.tolist()
        if all(member in self._kept_steps for member in numbers):
            kept = np.array([self._kept_steps[member] for member in numbers])
            return kept.reshape(-1, self.dimension)
        return self.steps(noise, members)

    def matrix(self) -> NDArray[np.float64]:
        """A itself, (dimension, dimension)."""
        n = self.dimension
        return self.panels.transpose(0, 2, 1).reshape(-1, n)[:n] if self.panels.size else np.eye(n)

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """The weights and starts of the members' noise. Given points have no noise."""
        weights = weights.copy()
        weights[: self.num_injected] = 0
        if self.mirrored:
            return pair_weights(self, noise, weights, power)
        return super().weighted_starts(noise, weights, power)

    def _follows(self, previous: GaussianSamples) -> bool:
        """Whether ``previous`` is the same strategy's last generation, with the same A."""
        mine = (self.seed, self.lineage, self.factor, self.generation)
        return mine == (previous.seed, previous.lineage, previous.factor, previous.generation + 1)
