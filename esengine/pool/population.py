"""Sums over a population's noise, which are too large for one rank."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import (
    GaussianSamples,
    Genomes,
    JointPopulation,
    RestrictedSamples,
    chunks,
)
from esengine.noise.product_sums import assembled, product_tiles, transformed
from esengine.pool.rank_state import Kind, RankState

_ALONE_WORK = 1 << 22  # multiply-adds below which the master sums alone: a message costs more

SumUnits = Callable[[Kind, list[tuple[int, int]], NDArray[np.floating]], list[bytes]]
"""Computes the units of a weighted sum over the search population on all ranks, see `Pool.sum_up`.
"""


def noise_sum_slices(dimension: int) -> list[tuple[int, int]]:
    """The bounds of the coordinates that one unit of `Population.weighted_noise` sums."""
    return chunks(dimension, max(4096, -(-dimension // 256)))


class Population:
    """The last evaluated search population, for sums that are too large for one rank.

    A strategy gets it in ``tell``. It hides where the members' noise is and which ranks add it up.

    Attributes:
        reliability: of the ranking in the generations before, from 0, all noise, to 1, none;
            None where it is not measured.
    """

    reliability: float | None = None

    def __init__(self, rank_state: RankState, sum_up: SumUnits | None) -> None:
        """The population that ``rank_state`` holds.

        Args:
            rank_state: the master's.
            sum_up: computes sums on all ranks; None computes them in this process.
        """
        self._rank_state = rank_state
        self._sum_up = sum_up
        self._whole = self._candidates = rank_state.candidates["search"]
        self._first = 0  # number of this population's first member in the whole one

    def part(self, number: int) -> Population:
        """One of the populations that were evaluated together."""
        assert isinstance(self._whole, JointPopulation)
        part = Population(self._rank_state, self._sum_up)
        part._candidates = self._whole.parts[number]
        part._first = self._whole.bounds[number][0]
        part.reliability = self.reliability
        return part

    def row(self, member: int) -> NDArray[np.floating]:
        """The parameters of one member, (dimension,)."""
        return np.array(self._candidates.row(self._rank_state.noise, member))

    def rows(self, members: NDArray[np.int64] | None = None) -> NDArray[np.floating]:
        """The parameters of some members, at least one, or of all, (num_members, dimension)."""
        size = self._candidates.population_size
        if members is None or 4 * members.size > size:
            rows = np.array(self._candidates.rows(self._rank_state.noise, 0, size))
            return rows if members is None else rows[members]
        return np.array(self._candidates.chosen_rows(self._rank_state.noise, members))

    def rebuild(self, genomes: Genomes) -> NDArray[np.floating]:
        """The dense rows of chains of noise addresses, (num_genomes, dimension), computed by the
        master alone.
        """
        return genomes.rows(self._rank_state.noise, self._candidates.seed)

    def steps(self, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """The steps y = A z of some members of a Gaussian population, (num_members, dimension)."""
        assert isinstance(self._candidates, GaussianSamples)
        return self._candidates.steps(self._rank_state.noise, members)

    def weighted_noise(
        self, weights: NDArray[np.floating], dtype: type[np.floating] | None = None
    ) -> NDArray[np.floating]:
        """sum_i weights[i] * noise_i over the members in order, (dimension,).

        The noise of the second member of an antithetic pair is minus that of the first. A member
        that is carried over has no noise.

        Args:
            weights: (population_size,); members of weight 0 cost nothing.
            dtype: precision of the sum; by default the problem's.
        """
        return self._sliced(Kind.NOISE_SUM, weights, dtype)

    def weighted_squares(
        self, weights: NDArray[np.floating], dtype: type[np.floating] | None = None
    ) -> NDArray[np.floating]:
        """sum_i weights[i] * noise_i^2 for each coordinate, otherwise as `weighted_noise`."""
        return self._sliced(Kind.SQUARE_SUM, weights, dtype)

    def inner_products(self, members: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The inner products of the noise of some members of a restricted population with its
        vectors and with each other, (num_chosen, num_vectors + num_chosen).

        Args:
            members: (population_size,) whether a member is chosen; at least one is, and none that
                has no noise.
        """
        samples = self._candidates
        assert isinstance(samples, RestrictedSamples)
        chosen = int(np.count_nonzero(members))
        width = samples.num_vectors + chosen
        alone = chosen * width * samples.dimension < _ALONE_WORK
        weights = members.astype(np.float64)
        bounds = noise_sum_slices(samples.dimension)
        slices = self._sum(Kind.INNER_PRODUCTS, bounds, weights, alone, np.float64)
        return sum(slices[1:], slices[0]).reshape(chosen, width)

    def squared_lengths(self, members: NDArray[np.bool_]) -> NDArray[np.float64]:
        """|z|^2 of the chosen members of a Gaussian population, in order.

        Args:
            members: (population_size,) whether a member is chosen.
        """
        chosen = int(np.count_nonzero(members))
        if not chosen:
            return np.zeros(0)

        dimension = self._candidates.dimension
        bounds = chunks(chosen, max(256, -(-chosen // 256), (1 << 16) // dimension))
        alone = chosen * dimension < _ALONE_WORK
        weights = members.astype(np.float64)
        return np.concatenate(self._sum(Kind.LENGTHS, bounds, weights, alone, np.float64))

    def covariance(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """sum_i weights[i] y_i y_i^T over the steps y = A z of a Gaussian population, (n, n),
        exactly symmetric.

        Given points are left out. For many members the sum is A S A^T, where all ranks compute the
        tiles of S, the sum of w z z^T. For few members the master computes it from their steps,
        which is cheaper than two products with A.
        """
        samples = self._candidates
        assert isinstance(samples, GaussianSamples)
        n = samples.dimension
        if samples.population_size < 2 * n:
            positive = self._outer_products(samples, weights)
            positive -= self._outer_products(samples, -weights)
            return positive

        products = self.weighted_products(weights)
        if not samples.panels.size:
            return products
        return transformed(samples.matrix(), products, samples.triangular)

    def weighted_products(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """sum_i weights[i] z_i z_i^T over the members' noise, (n, n), exactly symmetric."""
        n = self._candidates.dimension
        bounds = product_tiles(n, self._whole.population_size)
        alone = self._candidates.population_size * n * n < _ALONE_WORK
        tiles = self._sum(Kind.PRODUCT_SUM, bounds, weights, alone, np.float64)
        return assembled(tiles, bounds, n)

    def _outer_products(
        self, samples: GaussianSamples, weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """sum_i weights[i] y_i y_i^T over the members with positive weights."""
        first = samples.num_injected
        members = np.flatnonzero(weights[first:] > 0) + first
        if not members.size:
            return np.zeros((samples.dimension, samples.dimension))

        steps = samples.steps_again(self._rank_state.noise, members)
        steps = np.sqrt(weights[members])[:, None] * steps
        return np.asarray(steps.T @ steps)

    def _sliced(
        self, kind: Kind, weights: NDArray[np.floating], dtype: type[np.floating] | None
    ) -> NDArray[np.floating]:
        """A sum in slices of coordinates, each over all members in order."""
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
        """The results of the units in order, with the same bits here or on all ranks."""
        if self._candidates is not self._whole:
            placed = np.zeros(self._whole.population_size, weights.dtype)
            placed[self._first : self._first + weights.size] = weights
            weights = placed

        if alone or self._sum_up is None:
            self._rank_state.weights = weights
            results = [self._rank_state.execute(kind, *bound) for bound in bounds]
        else:
            results = self._sum_up(kind, bounds, weights)
        return [np.frombuffer(result, dtype) for result in results]
