"""Sums over a population's noise, which no single rank should do alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import GaussianSamples, Genomes, JointPopulation, chunks
from esengine.noise.product_sums import assembled, product_tiles, transformed
from esengine.pool.rank_state import Kind

if TYPE_CHECKING:
    from esengine.pool.pool import Pool

_ALONE_WORK = 1 << 22  # multiply-adds below which the master sums alone: a message costs more


def noise_sum_slices(dimension: int) -> list[tuple[int, int]]:
    """Bounds of the coordinates that one unit of `Population.weighted_noise` sums."""
    return chunks(dimension, max(4096, -(-dimension // 256)))


class Population:
    """The last evaluated search population, for sums that no single rank should do alone.

    A strategy gets it in ``tell``; it hides where the members' noise is and who adds it up.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool, self._rank_state = pool, pool.rank_state
        self._whole = self._candidates = pool.rank_state.candidates["search"]
        self._first = 0  # member of the whole population that is this one's first

    def part(self, number: int) -> Population:
        """One of the populations that were evaluated together."""
        assert isinstance(self._whole, JointPopulation)
        part = Population(self._pool)
        part._candidates, (part._first, _) = self._whole.parts[number], self._whole.bounds[number]
        return part

    def row(self, member: int) -> NDArray[np.floating]:
        """Parameters of one member, (dimension,)."""
        return np.array(self._candidates.row(self._rank_state.noise, member))

    def rebuild(self, genomes: Genomes) -> NDArray[np.floating]:
        """Dense rows of chains of noise addresses, (num_genomes, dimension), by the master
        alone.
        """
        return genomes.rows(self._rank_state.noise, self._candidates.seed)

    def steps(self, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """y = A z of some members of a Gaussian population, (num_members, dimension)."""
        assert isinstance(self._candidates, GaussianSamples)
        return self._candidates.steps(self._rank_state.noise, members)

    def weighted_noise(
        self, weights: NDArray[np.floating], dtype: type[np.floating] | None = None
    ) -> NDArray[np.floating]:
        """sum_i weights[i] * noise_i over the members in order, (dimension,).

        The second member of an antithetic pair has minus the noise of the first, and a member that
        is carried over has none.

        Args:
            weights: (population_size,); members of weight 0 cost nothing.
            dtype: precision of the sum; the problem's if it is not given.
        """
        return self._sliced(Kind.NOISE_SUM, weights, dtype)

    def weighted_squares(self, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """sum_i weights[i] * noise_i^2, coordinate by coordinate; as `weighted_noise` otherwise."""
        return self._sliced(Kind.SQUARE_SUM, weights, None)

    def squared_lengths(self, members: NDArray[np.bool_]) -> NDArray[np.float64]:
        """|z|^2 of the chosen members of a Gaussian population, in order; ``members`` is
        (population_size,).
        """
        chosen = int(np.count_nonzero(members))
        if not chosen:
            return np.zeros(0)
        bounds = chunks(
            chosen, max(256, -(-chosen // 256), (1 << 16) // self._candidates.dimension)
        )
        alone = chosen * self._candidates.dimension < _ALONE_WORK
        return np.concatenate(
            self._sum(Kind.LENGTHS, bounds, members.astype(np.float64), alone, np.float64)
        )

    def covariance(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """sum_i weights[i] y_i y_i^T over the steps y = A z of a Gaussian population, (n, n),
        exactly symmetric.

        For many members that is A S A^T, where all ranks share the sum S of w z z^T tile by tile;
        for fewer the master makes the members' steps again, which costs it less than two products
        with A. Given points have no part in it.
        """
        samples, noise = self._candidates, self._rank_state.noise
        assert isinstance(samples, GaussianSamples)
        n = samples.dimension
        if samples.population_size < 2 * n:
            signed = []
            for sign in (1, -1):
                members = (
                    np.flatnonzero(sign * weights[samples.num_injected :] > 0)
                    + samples.num_injected
                )
                steps = np.sqrt(np.abs(weights[members]))[:, None] * samples.steps_again(
                    noise, members
                )
                signed.append(steps.T @ steps if members.size else np.zeros((n, n)))
            signed[0] -= signed[1]
            return signed[0]
        bounds = product_tiles(n, self._whole.population_size)
        alone = samples.population_size * n * n < _ALONE_WORK
        tiles = self._sum(Kind.PRODUCT_SUM, bounds, weights, alone, np.float64)
        products = assembled(tiles, bounds, n)
        if not samples.panels.size:
            return products
        return transformed(samples.matrix(), products, samples.triangular)

    def _sliced(
        self, kind: Kind, weights: NDArray[np.floating], dtype: type[np.floating] | None
    ) -> NDArray[np.floating]:
        """A sum by slices of coordinates, each over all members in order."""
        dimension = self._candidates.dimension
        weights = np.asarray(weights, dtype or self._rank_state.problem.dtype)
        slices = noise_sum_slices(dimension)
        alone = bool(np.count_nonzero(weights) * dimension < _ALONE_WORK)
        return np.concatenate(self._sum(kind, slices, weights, alone, weights.dtype.type))

    def _sum(
        self,
        kind: Kind,
        bounds: list[tuple[int, int]],
        weights: NDArray[np.floating],
        alone: bool,
        dtype: type[np.generic],
    ) -> list[NDArray[Any]]:
        """The units' results in order, computed here or by all ranks: the same bits either way."""
        if self._candidates is not self._whole:
            placed = np.zeros(self._whole.population_size, weights.dtype)
            placed[self._first : self._first + weights.size] = weights
            weights = placed
        if alone or self._pool.world.size == 1:
            self._rank_state.weights = weights
            return [
                np.frombuffer(self._rank_state.execute(kind, *bound), dtype) for bound in bounds
            ]
        return [np.frombuffer(result, dtype) for result in self._pool.sum_up(kind, bounds, weights)]
