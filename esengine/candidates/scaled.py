"""Members drawn with a standard deviation for each parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.candidates.pairs import pair_weights
from esengine.noise import Noise


@dataclass(frozen=True)
class ScaledSamples(Candidates):
    """Members mean + deviations * noise(seed, generation, member).

    Attributes:
        antithetic: whether members 2k and 2k + 1 share noise_k, the second with the opposite sign.
        mean: (dimension,) in the problem's precision.
        deviations: (dimension,) in the same precision.
    """

    antithetic: bool
    mean: NDArray[np.floating]
    deviations: NDArray[np.floating]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        members = np.arange(start, stop)
        rows = np.empty((stop - start, self.dimension), self.mean.dtype)
        signs = np.ones(members.size, rows.dtype)
        if self.antithetic:
            signs[members % 2 == 1] = -1
            members = members // 2

        starts = noise.starts(self.seed, self.generation, members)
        noise.perturb_scaled(self.mean, self.deviations, starts, signs, rows)
        return rows

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        if self.antithetic:
            return pair_weights(self, noise, weights, power)
        return super().weighted_starts(noise, weights, power)
