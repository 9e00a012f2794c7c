"""``python -m benchmarks.cma.populations``: generations to 1e-8 at every population size, from the
default to 10^4 members.

Each method starts at 3 in every parameter with sigma 1. A row gives the median over the seeds, how
many of them arrived, and over all of their generations the smallest variance of the matrix,
relative to its largest one then, the largest sigma, and the largest standard deviation of a
parameter: sigma and the matrix are only bounded together, since a rank-mu update that keeps nothing
of the matrix before it moves the scale between them. More members must not need more generations
than the default's number.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import Cost, RowsProblem, functions
from esengine.algorithms import CMAES, CMAESSettings, SepCMAES, SepCMAESSettings
from esengine.noise import Noise, create_table
from esengine.pool import Pool, RankState
from esengine.ranks import World

TARGET = 1e-8
LIMIT = 1000  # generations for each parameter
CASES = (  # a diagonal matrix cannot follow a rotated ellipsoid
    ("cma-es", "sphere"),
    ("cma-es", "rotated ellipsoid"),
    ("cma-es", "rosenbrock"),
    ("sep-cma-es", "sphere"),
    ("sep-cma-es", "ellipsoid"),
)


def strategy_of(method: str, dimension: int, size: int, seed: int) -> CMAES | SepCMAES:
    """A new search that only its target and a breakdown end."""
    initial = np.full(dimension, 3.0)
    if method == "cma-es":
        return CMAES(
            CMAESSettings(population_size=size, tolerance_fun=0, tolerance_fun_history=0),
            initial,
            seed,
        )
    return SepCMAES(SepCMAESSettings(population_size=size, tolerance_fun=0), initial, seed)


def run(
    method: str, cost: Cost, dimension: int, size: int, seed: int, noise: Noise
) -> dict[str, float]:
    """One search: generations (infinite if it did not arrive) and what bounded it."""
    strategy = strategy_of(method, dimension, size, seed)
    pool = Pool(World(), RankState(noise, RowsProblem(cost, dimension, together=64), None))
    smallest, largest, widest = math.inf, 0.0, 0.0
    while strategy.should_stop() is None and strategy.generation < LIMIT * dimension:
        candidates = strategy.ask()
        fitness = pool.evaluate(candidates).fitness
        strategy.tell(candidates, fitness, pool.population())
        variances = (
            np.linalg.eigvalsh(strategy.C) if isinstance(strategy, CMAES) else strategy.variances
        )
        smallest, largest = (
            min(smallest, float(variances.min() / variances.max())),
            max(largest, strategy.sigma),
        )
        widest = max(widest, strategy.sigma * math.sqrt(variances.max()))
        if fitness.max() >= -TARGET:
            return {
                "generations": strategy.generation,
                "variance": smallest,
                "sigma": largest,
                "deviation": widest,
            }
    return {"generations": math.inf, "variance": smallest, "sigma": largest, "deviation": widest}


def sizes_of(dimension: int) -> list[tuple[str, int]]:
    """The population sizes, by what they are."""
    default = CMAESSettings().default_population_size(dimension)
    return [
        ("default", default),
        ("n", dimension),
        ("10 n", 10 * dimension),
        ("n^2", dimension**2),
        ("10^4", 10_000),
    ]


def measure(dimension: int, num_seeds: int, noise: Noise) -> list[dict[str, Any]]:
    """All methods, functions and population sizes."""
    rows: list[dict[str, Any]] = []
    for method, function in CASES:
        cost = functions(dimension)[function]
        for name, size in sizes_of(dimension):
            runs = [run(method, cost, dimension, size, seed, noise) for seed in range(num_seeds)]
            rows.append(
                {
                    "method": method,
                    "function": function,
                    "n": dimension,
                    "population": name,
                    "lambda": size,
                    "runs": runs,
                }
            )
            print(cells_of(rows[-1]), file=sys.stderr, flush=True)
    return rows


def cells_of(row: dict[str, Any]) -> str:
    """A line of the table."""
    arrived = [one["generations"] for one in row["runs"] if one["generations"] < math.inf]
    median = f"{np.median(arrived):.0f}" if arrived else "-"
    variance = min(one["variance"] for one in row["runs"])
    sigma, deviation = (max(one[key] for one in row["runs"]) for key in ("sigma", "deviation"))
    cells = [
        row["method"],
        row["function"],
        str(row["n"]),
        row["population"],
        f"{row['lambda']:,}",
        median,
    ]
    return (
        "| "
        + " | ".join(
            [
                *cells,
                f"{len(arrived)} of {len(row['runs'])}",
                f"{variance:.1e}",
                f"{sigma:.3g}",
                f"{deviation:.3g}",
            ]
        )
        + " |"
    )


def render(rows: list[dict[str, Any]]) -> str:
    """The table in markdown."""
    head = (
        "| method | function | n | population | lambda | generations | arrived | smallest "
        "variance | largest sigma | widest |"
    )
    return "\n".join([head, "|---" * 10 + "|", *map(cells_of, rows)])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cma.populations", description=__doc__
    )
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    noise = create_table(0, 24, max(options.dimensions), None)
    rows = [
        row for dimension in options.dimensions for row in measure(dimension, options.seeds, noise)
    ]
    if options.json is not None:
        options.json.write_text(json.dumps(rows) + "\n")
    print(render(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
