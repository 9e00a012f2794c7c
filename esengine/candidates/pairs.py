"""Antithetic pairs around a mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.noise.contract import Noise


@dataclass(frozen=True)
class AntitheticPairs(Candidates):
    """Pairs that mirror each other: members 2k and 2k + 1 are mean + sigma * noise_k and mean -
    sigma * noise_k.

    noise_k = noise(seed, generation, k): a pair shares one window, which a sum over the members
    reads once.

    Attributes:
        sigma: standard deviation of every parameter.
        mean: (dimension,) in the problem's precision.
    """

    sigma: float
    mean: NDArray[np.floating]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def shared(self) -> Message:
        names = ("seed", "generation", "population_size", "sigma")
        return {name: getattr(self, name) for name in names}, {"mean": self.mean}

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        rows = np.empty((stop - start, self.dimension), self.mean.dtype)
        pairs = np.arange(start // 2, (stop + 1) // 2)
        noise.perturb_pairs(
            self.mean, noise.starts(self.seed, self.generation, pairs), self.sigma, start, rows
        )
        return rows

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """One weight a pair, see `pair_weights`."""
        return pair_weights(self, noise, weights, power)


def pair_weights(
    candidates: Candidates, noise: Noise, weights: NDArray[np.floating], power: int
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """One weight for each pair's window, since the second member has the noise of the first with
    the other sign.

    w+ - w- for a sum of noise, w+ + w- for one of its squares.
    """
    if weights.size % 2:  # the last pair lacks its second member
        weights = np.append(weights, weights.dtype.type(0))
    combined = weights[::2] - weights[1::2] if power == 1 else weights[::2] + weights[1::2]
    pairs = np.flatnonzero(combined)
    return combined[pairs], noise.starts(candidates.seed, candidates.generation, pairs)
