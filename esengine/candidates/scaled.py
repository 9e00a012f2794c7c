"""Members with a standard deviation for every parameter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.candidates.pairs import pair_weights
from esengine.noise.contract import Noise


@dataclass(frozen=True)
class ScaledSamples(Candidates):
    """Members with a standard deviation for every parameter: mean + deviations * noise(seed,
    generation, member).

    Attributes:
        antithetic: whether members 2k and 2k + 1 share noise_k, the second with the other sign.
        mean: (dimension,) in the problem's precision.
        deviations: (dimension,) in the same precision.
    """

    antithetic: bool
    mean: NDArray[np.floating]
    deviations: NDArray[np.floating]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def shared(self) -> Message:
        names = ("seed", "generation", "population_size", "antithetic")
        return {name: getattr(self, name) for name in names}, {
            "mean": self.mean,
            "deviations": self.deviations,
        }

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        rows = np.empty((stop - start, self.dimension), self.mean.dtype)
        members = np.arange(start, stop)
        windows = members // 2 if self.antithetic else members
        signs = 1 - 2 * (members % 2 if self.antithetic else np.zeros_like(members))
        starts = noise.starts(self.seed, self.generation, windows)
        noise.perturb_scaled(self.mean, self.deviations, starts, signs.astype(rows.dtype), rows)
        return rows

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        if self.antithetic:
            return pair_weights(self, noise, weights, power)
        return super().weighted_starts(noise, weights, power)
