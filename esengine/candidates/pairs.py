"""Antithetic pairs around a mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.noise import Noise


@dataclass(frozen=True)
class AntitheticPairs(Candidates):
    """Antithetic pairs: members 2k and 2k + 1 are mean +- sigma * noise_k.

    noise_k is noise(seed, generation, k). A sum over the members reads the noise of a pair once.

    Attributes:
        sigma: standard deviation of every parameter.
        mean: (dimension,) in the problem's precision.
    """

    sigma: float
    mean: NDArray[np.floating]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        starts = noise.starts(self.seed, self.generation, np.arange(start // 2, (stop + 1) // 2))
        rows = np.empty((stop - start, self.dimension), self.mean.dtype)
        noise.perturb_pairs(self.mean, starts, self.sigma, start, rows)
        return rows

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """One weight per pair, see `pair_weights`."""
        return pair_weights(self, noise, weights, power)


def pair_weights(
    candidates: Candidates, noise: Noise, weights: NDArray[np.floating], power: int
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """The weight and the start of each pair's noise, which the second member has with a minus sign.

    The weight is w+ - w- for a sum of noise, and w+ + w- for a sum of squares.
    """
    if weights.size % 2:  # the last pair has only one member
        weights = np.append(weights, weights.dtype.type(0))

    combined = weights[::2] - weights[1::2] if power == 1 else weights[::2] + weights[1::2]
    pairs = np.flatnonzero(combined)
    return combined[pairs], noise.starts(candidates.seed, candidates.generation, pairs)
