"""``python -m benchmarks.cma.evaluations``: evaluations to 1e-8, ours beside ``cma``, 51 seeds,
median and success rate.

Both start from the same point, drawn from N(0, I) by the seed, with sigma 1 and their own default
population; a run ends at the target, at its strategy's own reason to stop, or after 10^4 n
evaluations. Evaluations are counted in whole generations.

Runs that the file of ``--json`` holds already are not made again, so the work can be done in pieces
and stopped at any time.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import Cost, RowsProblem, functions
from benchmarks.cma.runs import add_run, read_runs
from esengine.algorithms import CMAES, CMAESSettings
from esengine.noise import Noise, create_table
from esengine.pool import Pool, RankState
from esengine.ranks import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

TARGET = 1e-8
SIDES = ("ours", "cma")
KEYS = ("dimension", "function", "seed", "side")
LIMIT = 10_000  # evaluations for each parameter


def start(dimension: int, seed: int) -> NDArray[np.float64]:
    """The first mean, the same for both sides."""
    return np.random.default_rng([seed, dimension]).standard_normal(dimension)


def ours(cost: Cost, dimension: int, seed: int, noise: Noise) -> tuple[int, bool]:
    """Evaluations of one run, and whether it reached the target."""
    strategy = CMAES(CMAESSettings(tolerance_fun=0), start(dimension, seed), seed)
    pool = Pool(World(), RankState(noise, RowsProblem(cost, dimension, together=64), None))
    while (
        strategy.should_stop() is None
        and strategy.generation * strategy.population_size < LIMIT * dimension
    ):
        candidates = strategy.ask()
        fitness = pool.evaluate(candidates).fitness
        strategy.tell(candidates, fitness, pool.population())
        if fitness.max() >= -TARGET:
            return strategy.generation * strategy.population_size, True
    return strategy.generation * strategy.population_size, False


def theirs(cost: Cost, dimension: int, seed: int) -> tuple[int, bool]:
    """The same by ``cma``."""
    options = {"verbose": -9, "seed": seed + 1, "tolfun": 0, "tolfunhist": 0, "tolfunrel": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = cma.CMAEvolutionStrategy(start(dimension, seed), 1.0, options)
        while not es.stop() and es.countevals < LIMIT * dimension:
            points = es.ask()
            costs = cost(np.array(points))
            es.tell(points, costs.tolist())
            if costs.min() <= TARGET:
                return int(es.countevals), True
    return int(es.countevals), False


def measure(options: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The runs that ``rows`` does not hold yet, both sides in turns."""
    done = {tuple(row[key] for key in KEYS) for row in rows}
    noise = create_table(0, 24, max(options.dimensions), None)
    for dimension in options.dimensions:
        for name in options.functions:
            cost = functions(dimension)[name]
            for seed in range(options.seeds):
                for side in SIDES:
                    key = (dimension, name, seed, side)
                    if key not in done:
                        found = (
                            ours(cost, dimension, seed, noise)
                            if side == "ours"
                            else theirs(cost, dimension, seed)
                        )
                        yield {
                            **dict(zip(KEYS, key, strict=True)),
                            "evaluations": found[0],
                            "reached": found[1],
                        }


def render(rows: list[dict[str, Any]]) -> str:
    """The table in markdown: medians over the runs that reached the target."""
    head = "| function | n | seeds | ours | cma | ratio | success, ours | success, cma |"
    lines = [head, "|---" * 8 + "|"]
    for dimension, name in dict.fromkeys((row["dimension"], row["function"]) for row in rows):
        cells, medians = [], []
        for side in SIDES:
            runs = [
                row
                for row in rows
                if (row["dimension"], row["function"], row["side"]) == (dimension, name, side)
            ]
            reached = [row["evaluations"] for row in runs if row["reached"]]
            medians.append(float(np.median(reached)) if reached else math.nan)
            cells.append(f"{len(reached) / max(1, len(runs)):.0%}")
        numbers = [f"{median:,.0f}" for median in medians]
        lines.append(
            " | ".join(
                [
                    f"| {name}",
                    str(dimension),
                    str(len(runs)),
                    *numbers,
                    f"{medians[0] / medians[1]:.3f}",
                    *cells,
                ]
            )
            + " |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cma.evaluations", description=__doc__
    )
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 40, 100])
    parser.add_argument(
        "--functions", choices=list(functions(2)), nargs="+", default=list(functions(2))
    )
    parser.add_argument("--seeds", type=int, default=51)
    parser.add_argument(
        "--json",
        type=Path,
        nargs="+",
        default=[],
        help="runs made already; new ones are added to the first file",
    )
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    rows = read_runs(options.json)
    for row in measure(options, rows):
        rows.append(row)
        add_run(options.json, row)
    print(render(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
