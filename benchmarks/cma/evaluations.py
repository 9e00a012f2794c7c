"""``python -m benchmarks.cma.evaluations``: evaluations to 1e-8, ours beside ``cma``, 51 seeds, median and success rate.

Both start from the same point, drawn from N(0, I) by the seed, with sigma 1 and their own default population; a run ends at the
target, at its strategy's own reason to stop, or after 10^4 n evaluations. Evaluations are counted in whole generations.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import Cost, RowsProblem, functions
from esengine.algorithms import CMAES, CMAESSettings
from esengine.desk import Desk
from esengine.noise import Noise, create_table
from esengine.pool import Pool
from esengine.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

TARGET = 1e-8
LIMIT = 10_000  # evaluations for each parameter


def start(dimension: int, seed: int) -> NDArray[np.float64]:
    """The first mean, the same for both sides."""
    return np.random.default_rng([seed, dimension]).standard_normal(dimension)


def ours(cost: Cost, dimension: int, seed: int, noise: Noise) -> tuple[int, bool]:
    """Evaluations of one run, and whether it reached the target."""
    strategy = CMAES(CMAESSettings(tolerance_fun=0), start(dimension, seed), seed)
    pool = Pool(World(), Desk(noise, RowsProblem(cost, dimension, together=64), None))
    while strategy.should_stop() is None and strategy.generation * strategy.population_size < LIMIT * dimension:
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


def compare(dimension: int, name: str, num_seeds: int, noise: Noise) -> dict[str, Any]:
    """Evaluations of all seeds on one function, both sides in turns."""
    cost = functions(dimension)[name]
    began = time.monotonic()
    runs: dict[str, list[tuple[int, bool]]] = {"ours": [], "cma": []}
    for seed in range(num_seeds):
        runs["ours"].append(ours(cost, dimension, seed, noise))
        runs["cma"].append(theirs(cost, dimension, seed))
    row: dict[str, Any] = {"function": name, "dimension": dimension, "seeds": num_seeds}
    for side, results in runs.items():
        reached = [evaluations for evaluations, success in results if success]
        row[side] = {"median": float(np.median(reached)) if reached else None, "success_rate": len(reached) / num_seeds}
    row["runs"] = runs
    print(f"{name}, n = {dimension}: {row['ours']} {row['cma']} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return row


def render(rows: list[dict[str, Any]]) -> str:
    """The table in markdown."""
    lines = ["| function | n | ours | cma | ratio | success, ours | success, cma |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        mine, other = row["ours"], row["cma"]
        both = mine["median"] is not None and other["median"] is not None
        ratio = f"{mine['median'] / other['median']:.3f}" if both else "-"
        medians = [f"{side['median']:,.0f}" if side["median"] is not None else "-" for side in (mine, other)]
        rates = [f"{side['success_rate']:.0%}" for side in (mine, other)]
        lines.append(" | ".join([f"| {row['function']}", str(row["dimension"]), *medians, ratio, *rates]) + " |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cma.evaluations", description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 40, 100])
    parser.add_argument("--functions", choices=list(functions(2)), nargs="+", default=list(functions(2)))
    parser.add_argument("--seeds", type=int, default=51)
    parser.add_argument("--json", type=Path, help="write all runs here, after each function")
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    noise = create_table(0, 24, max(options.dimensions), None)
    rows: list[dict[str, Any]] = []
    for dimension in options.dimensions:
        for name in options.functions:
            rows.append(compare(dimension, name, options.seeds, noise))
            if options.json is not None:
                options.json.write_text(json.dumps(rows) + "\n")
    print(render(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
