"""``python -m benchmarks.parameters``: what a generation costs for each parameter of a very long
vector, with an objective that costs nothing and noise without a table.

Prints for ``evaluate`` and ``tell`` nanoseconds of the process in user code and in the system, and
page faults. Each is the least of the generations after the first two, which see memory for the
first time.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import RowsProblem
from esengine.algorithms import OpenAIESSettings, SepCMAESSettings
from esengine.noise.counter import CounterNoise
from esengine.pool import Pool, RankState
from esengine.ranks import World

METHODS = {"openai-es": OpenAIESSettings, "sep-cma-es": SepCMAESSettings}
MEMBERS = 4
Costs = list[tuple[float, float, int]]
"""User seconds, system seconds and page faults of each call."""


class _LongRows(RowsProblem):
    dtype = np.float32  # type: ignore[assignment]


def first_numbers(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """A cost of (num_rows, n) points that reads eight numbers of each."""
    return np.asarray(rows[:, :8].sum(axis=1))


@contextmanager
def measured(costs: Costs) -> Iterator[None]:
    """Add what the block costs."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    yield
    after = resource.getrusage(resource.RUSAGE_SELF)
    costs.append(
        (
            after.ru_utime - before.ru_utime,
            after.ru_stime - before.ru_stime,
            after.ru_minflt - before.ru_minflt,
        )
    )


def measure(method: str, n: int, generations: int) -> None:
    """Print the rows of a method and a number of parameters."""
    strategy = METHODS[method](population_size=MEMBERS).strategy(np.zeros(n, np.float32), 0)
    pool = Pool(World(), RankState(CounterNoise(), _LongRows(first_numbers, n), None))
    evaluations: Costs = []
    updates: Costs = []
    for _ in range(generations):
        with measured(evaluations):
            candidates = strategy.ask()
            fitness = pool.evaluate(candidates).fitness
        with measured(updates):
            strategy.tell(candidates, fitness, pool.population())

    for what, costs, numbers in (("evaluate", evaluations, n * MEMBERS), ("tell", updates, n)):
        user, system, faults = np.min(costs[2:], axis=0) / numbers
        print(
            f"| {method} | {what} | {n:.0e} | {user * 1e9:.1f} | {system * 1e9:.1f} | "
            f"{faults * 1e3:.2f} |",
            flush=True,
        )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parameters", description=__doc__)
    parser.add_argument("--parameters", type=float, nargs="+", default=[1e7, 5e7])
    parser.add_argument("--generations", type=int, default=6)
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    print("| method | call | n | user ns | system ns | faults of 1,000 |\n" + "|---" * 6 + "|")
    for method in METHODS:
        for n in options.parameters:
            measure(method, int(n), options.generations)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
