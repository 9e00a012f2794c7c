"""The protocol of noise, which a table and computed noise implement."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Noise(Protocol):
    """Noise of the members of a generation, each of which has a different start."""

    @property
    def max_population_size(self) -> int:
        """The largest number of members of a generation with different starts."""

    def starts(self, seed: int, generation: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """The starts of the noise of members of a generation, (num_members,) int64."""

    def perturb(
        self,
        parents: NDArray[np.floating],
        sources: NDArray[np.int64],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        """``out[i] = parents[sources[i]] + scales[i] * noise_i``, see `kernels.perturb_rows`."""

    def perturb_pairs(
        self,
        mean: NDArray[np.floating],
        starts: NDArray[np.int64],
        scale: float,
        first: int,
        out: NDArray[np.floating],
    ) -> None:
        """The rows of antithetic members from number ``first`` on, see `kernels.perturb_pairs`."""

    def perturb_scaled(
        self,
        mean: NDArray[np.floating],
        deviations: NDArray[np.floating],
        starts: NDArray[np.int64],
        signs: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        """``out[i] = mean + signs[i] * deviations * noise_i``, see `kernels.perturb_scaled`."""

    def weighted_sum(
        self,
        weights: NDArray[np.floating],
        starts: NDArray[np.int64],
        first: int,
        out: NDArray[np.floating],
    ) -> None:
        """A slice of the weighted sum of noise, see `kernels.weighted_noise_sum`."""

    def weighted_square_sum(
        self,
        weights: NDArray[np.floating],
        starts: NDArray[np.int64],
        first: int,
        out: NDArray[np.floating],
    ) -> None:
        """A slice of the weighted sum of squared noise, see `kernels.weighted_square_sum`."""

    def apply_chain(
        self,
        root: NDArray[np.floating],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        """A root with its mutations in order, see `kernels.apply_chain`."""

    def read_rows(
        self,
        starts: NDArray[np.int64],
        first: int,
        out: NDArray[np.floating],
        scales: NDArray[np.floating] | None = None,
    ) -> None:
        """A slice of the noise itself from coordinate ``first`` on, (num_rows, width).

        Each row is multiplied by its number in ``scales``, if given. See `kernels.read_rows`.
        """


def scales_of(
    starts: NDArray[np.int64], out: NDArray[np.floating], scales: NDArray[np.floating] | None
) -> NDArray[np.floating]:
    """The scales of the rows in the precision of ``out``, or ones."""
    if scales is None:
        return np.ones(starts.size, out.dtype)
    return scales.astype(out.dtype, copy=False)
