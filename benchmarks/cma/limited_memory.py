"""``python -m benchmarks.cma.limited_memory``: ``lm-ma-es`` outside of its range, with few parameters
and many members.

Each cell of the printed table says how many of the seeds converged, and whether all searches warned
before they began; see ``LIMITED_MEMORY.md``.
"""

from __future__ import annotations

import argparse
import sys
import warnings

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import Cost, RowsProblem
from esengine.algorithms import LMMAES, LMMAESSettings
from esengine.noise import Noise, create_table
from esengine.pool import Pool, RankState
from esengine.ranks import World

NEAR = 0.1  # distance of the mean from the optimum
SMALLEST_SIGMA = 1e-3
LIMIT = 1000  # generations
LARGEST_SIGMA = 100.0
TIMES = (None, 4, 16, 64)  # members for each parameter; None is the default


def sphere(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cost of each of (num_rows, n) points."""
    return np.asarray(np.sum(rows**2, axis=1))


def penalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same with a constant penalty below 1."""
    return np.where(rows[:, 0] < 1, 1e6, sphere(rows))


COSTS: dict[str, tuple[Cost, float]] = {"sphere": (sphere, 0.0), "penalised": (penalised, 1.0)}
"""The costs, and the first parameter of the optimum; its others are 0."""


def strategy_of(n: int, times: int | None, seed: int) -> tuple[LMMAES, bool]:
    """A new search, and whether it warns of its population."""
    size = None if times is None else max(4, times * n)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        strategy = LMMAES(
            LMMAESSettings(population_size=size, sigma=0.3, tolerance_fun=0), np.full(n, 2.0), seed
        )
    return strategy, any("may diverge" in str(each.message) for each in found)


def converges(strategy: LMMAES, name: str, noise: Noise) -> bool:
    """Run a search and return whether it comes to the optimum and stays near it."""
    cost, first = COSTS[name]
    optimum = np.eye(1, strategy.mean.size)[0] * first
    problem = RowsProblem(cost, strategy.mean.size, together=64)
    pool = Pool(World(), RankState(noise, problem, None))
    while strategy.should_stop() is None and strategy.generation < LIMIT:
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        if strategy.sigma > LARGEST_SIGMA:
            return False
        if strategy.sigma < SMALLEST_SIGMA:
            break
    is_near = bool(np.linalg.norm(strategy.mean - optimum) < NEAR)
    return is_near and strategy.sigma < SMALLEST_SIGMA


def measure(seeds: int, noise: Noise) -> list[str]:
    """The rows of the table."""
    lines = []
    for name in COSTS:
        for n in range(1, 11):
            cells = []
            for times in TIMES:
                searches = [strategy_of(n, times, seed) for seed in range(seeds)]
                num = sum(converges(strategy, name, noise) for strategy, _ in searches)
                warned = "warns" if all(has for _, has in searches) else "no warning"
                cells.append(f"{num} of {seeds}, {warned}")
            lines.append(f"| {name} | {n} | {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cma.limited_memory", description=__doc__
    )
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    lines = measure(options.seeds, create_table(0, 22, 10, None))
    head = ["| cost | n | default | 4 n | 16 n | 64 n |", "|---" * 6 + "|"]
    print("\n".join([*head, *lines]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
