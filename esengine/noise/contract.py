"""What noise offers to candidates; a table and computed noise implement it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from esengine.noise import kernels


class Noise(ABC):
    """Noise of the members of a generation, each of which has a different start.

    Every method applies a kernel to windows of a table. Noise without a table overrides those that
    it can compute without one.
    """

    @property
    @abstractmethod
    def max_population_size(self) -> int:
        """The largest number of members of a generation with different starts."""

    @abstractmethod
    def starts(self, seed: int, generation: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """The starts of the noise of members of a generation, (num_members,) int64."""

    @abstractmethod
    def windows(
        self, starts: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """A table with ``size`` numbers of noise for each start, and where they begin in it."""

    def perturb(
        self,
        parents: NDArray[np.floating],
        sources: NDArray[np.int64],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        """``out[i] = parents[sources[i]] + scales[i] * noise_i``, see `kernels.perturb_rows`."""
        table, begins = self.windows(starts, out.shape[1])
        kernels.perturb_rows(parents, sources, table, begins, scales, out)

    def perturb_pairs(
        self,
        mean: NDArray[np.floating],
        starts: NDArray[np.int64],
        scale: float,
        first: int,
        out: NDArray[np.floating],
    ) -> None:
        """The rows of antithetic members from number ``first`` on, see `kernels.perturb_pairs`."""
        table, begins = self.windows(starts, mean.size)
        kernels.perturb_pairs(mean, table, begins, mean.dtype.type(scale), first, out)

    def perturb_scaled(
        self,
        mean: NDArray[np.floating],
        deviations: NDArray[np.floating],
        starts: NDArray[np.int64],
        signs: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        """``out[i] = mean + signs[i] * deviations * noise_i``, see `kernels.perturb_scaled`."""
        table, begins = self.windows(starts, mean.size)
        kernels.perturb_scaled(mean, deviations, table, begins, signs, out)

    def weighted_sum(
        self,
        weights: NDArray[np.floating],
        starts: NDArray[np.int64],
        first: int,
        power: int,
        out: NDArray[np.floating],
    ) -> None:
        """A slice of the weighted sum of noise, or of its squares if ``power`` is 2, see
        `kernels.weighted_noise_sum` and `kernels.weighted_square_sum`.
        """
        table, begins = self.windows(starts, first + out.size)
        add_up = kernels.weighted_noise_sum if power == 1 else kernels.weighted_square_sum
        add_up(weights, table, begins, first, out)

    def apply_chain(
        self,
        root: NDArray[np.floating],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        """A root with its mutations in order, see `kernels.apply_chain`."""
        table, begins = self.windows(starts, out.size)
        kernels.apply_chain(root, table, begins, scales, out)

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
        table, begins = self.windows(starts, first + out.shape[1])
        kernels.read_rows(table, begins, first, scales_of(starts, out, scales), out)


def scales_of(
    starts: NDArray[np.int64], out: NDArray[np.floating], scales: NDArray[np.floating] | None
) -> NDArray[np.floating]:
    """The scales of the rows in the precision of ``out``, or ones."""
    if scales is None:
        return np.ones(starts.size, out.dtype)
    return scales.astype(out.dtype, copy=False)
