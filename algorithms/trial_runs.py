"""Short runs of strategies on plain functions, in this process."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import Strategy
from esengine.candidates import Candidates
from esengine.noise import CounterNoise, Noise, NoiseTable, create_table
from esengine.noise.kernels import ALIGNMENT
from esengine.pool import FaultRules, Pool, Population, RankState
from esengine.problems import OK, Evaluated, ObjectiveProblem, new_records
from esengine.ranks import World

N = 10
"""Number of parameters of the test functions."""

Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Maps rows (num_rows, n) to fitness (num_rows,)."""

_SMALL_LOG2 = 16  # log2 of the size of the rotated noise table: 4,096 windows


class Landscape(ObjectiveProblem):
    """An objective that evaluates many members in one call.

    Args:
        function: see `Function`.
        dimension: number of parameters.
    """

    def __init__(self, function: Function, dimension: int = N) -> None:
        super().__init__(lambda row: float(function(row[None])[0]), dimension)
        self._rows = function

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        records = new_records(first, len(rows))
        records["episodes"] = 1
        records["fitness"] = self._rows(np.asarray(rows, np.float64))
        records["status"] = np.where(np.isfinite(records["fitness"]), OK, 1 - OK)
        return records, {}


def sphere(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the negative squared distance to 1/2 in every coordinate, (num_rows,)."""
    return -np.sum((rows - 0.5) ** 2, axis=1)


def pool_for(function: Function, dimension: int = N, noise: Noise | None = None) -> Pool:
    """Return a pool that evaluates a function in this process."""
    rank_state = RankState(noise or CounterNoise(), Landscape(function, dimension), None)
    return Pool(World(), rank_state, rules=FaultRules(max_failed_fraction=1.0))


def advance(strategy: Strategy, pool: Pool, generations: int) -> None:
    """Run generations of the loop of ``esengine train``."""
    for _ in range(generations):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())


def same(first: Strategy, second: Strategy) -> bool:
    """Return whether two strategies have the same state, bit for bit."""
    one = first.state()
    two = second.state()
    return list(one) == list(two) and all(np.array_equal(one[name], two[name]) for name in one)


def turned_noise(axes: NDArray[np.float64]) -> NoiseTable:
    """Return a small noise table in which every window that a member may use is rotated."""
    plain = create_table(0, _SMALL_LOG2, N, None).table
    windows = plain[: plain.size // ALIGNMENT * ALIGNMENT].reshape(-1, ALIGNMENT).copy()
    windows[:, :N] = windows[:, :N] @ axes.T
    return NoiseTable(windows.ravel(), _SMALL_LOG2)


class WeightRecorder(Population):
    """A population that records the weights of all sums."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool.rank_state, None)
        self.weights: list[NDArray[np.floating]] = []

    def weighted_noise(
        self, weights: NDArray[np.floating], dtype: type[np.floating] | None = None
    ) -> NDArray[np.floating]:
        self.weights.append(weights)
        return super().weighted_noise(weights, dtype)

    def weighted_squares(
        self, weights: NDArray[np.floating], dtype: type[np.floating] | None = None
    ) -> NDArray[np.floating]:
        self.weights.append(weights)
        return super().weighted_squares(weights, dtype)

    def covariance(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Record the weights before the negative ones were divided by |z|^2 (arXiv 1604.00772, eq.
        46).
        """
        negative = weights < 0
        plain = weights.copy()
        plain[negative] *= (np.sqrt(self.squared_lengths(negative)) + 1e-9) ** 2
        self.weights.append(plain)
        return super().covariance(weights)
