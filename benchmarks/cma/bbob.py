"""``python -m benchmarks.cma.bbob``: targets reached on the 24 BBOB functions, ours less ``cma``'s, with a bootstrap interval.

Needs ``pip install coco-experiment``. Both sides start from the same points, uniform in [-4, 4]^n, with sigma 2 and their own
default population; a search that ends by its own criteria is followed by another from the next point until the evaluations are
used up. The 51 targets are 10^2 to 10^-8 above the optimum, evenly on a logarithmic scale. The unit that the bootstrap draws is
an instance of a function, on which the two sides are paired.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocoex
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import RowsProblem
from esengine.algorithms import CMAES, CMAESSettings
from esengine.desk import Desk
from esengine.noise import Noise, create_table
from esengine.pool import Pool
from esengine.world import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

TARGETS = 10.0 ** np.linspace(2, -8, 51)
EVALUATIONS = 2000  # for each parameter
SIGMA = 2.0


class Counted:
    """A BBOB problem as costs of rows that remembers the best of the first ``limit`` evaluations."""

    def __init__(self, problem: Any, limit: int) -> None:
        self.problem, self.left, self.best = problem, limit, np.inf

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        costs = np.array([self.problem(row) for row in rows])
        if self.left > 0:
            self.best = min(self.best, float(costs[: self.left].min()))
        self.left -= len(rows)
        return costs

    def is_over(self, optimum: float) -> bool:
        """Whether no further evaluation can reach another target."""
        return self.left <= 0 or self.best - optimum <= TARGETS[-1]


def starts(index: int, dimension: int) -> Iterator[NDArray[np.float64]]:
    """Points to start from on problem ``index``, without end."""
    draw = np.random.default_rng(index)
    while True:
        yield draw.uniform(-4, 4, dimension)


def ours(problem: Any, index: int, optimum: float, noise: Noise) -> float:
    """The best cost above the optimum."""
    cost = Counted(problem, EVALUATIONS * problem.dimension)
    for attempt, point in enumerate(starts(index, problem.dimension)):
        strategy = CMAES(CMAESSettings(sigma=SIGMA), point, 1000 * index + attempt)
        pool = Pool(World(), Desk(noise, RowsProblem(cost, problem.dimension), None))
        while strategy.should_stop() is None:
            candidates = strategy.ask()
            strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
            if cost.is_over(optimum):
                return cost.best - optimum
    raise AssertionError("starts has no end")


def theirs(problem: Any, index: int, optimum: float) -> float:
    """The same by ``cma``."""
    cost = Counted(problem, EVALUATIONS * problem.dimension)
    for attempt, point in enumerate(starts(index, problem.dimension)):
        es = cma.CMAEvolutionStrategy(point, SIGMA, {"verbose": -9, "seed": 1000 * index + attempt + 1})
        while not es.stop():
            points = es.ask()
            es.tell(points, cost(np.array(points)).tolist())
            if cost.is_over(optimum):
                return cost.best - optimum
    raise AssertionError("starts has no end")


def problem_at(suite: Any, index: int) -> tuple[Any, float]:
    """A fresh problem and its optimum, which BBOB gives as a point in a file."""
    problem = suite[index]
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            problem._best_parameter("print")
            point = np.loadtxt("._bbob_problem_best_parameter.txt")
        finally:
            os.chdir(here)
    return problem, float(problem(point))


def measure(dimension: int, instances: int, noise: Noise) -> list[dict[str, Any]]:
    """Both sides on every function and instance: share of targets reached."""
    suite = cocoex.Suite("bbob", f"instances: 1-{instances}", f"dimensions: {dimension}")
    rows, began = [], time.monotonic()
    for index in range(len(suite)):
        problem, optimum = problem_at(suite, index)
        gaps = {"ours": ours(problem, index, optimum, noise)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gaps["cma"] = theirs(problem, index, optimum)
        shares = {side: float(np.mean(gap <= TARGETS)) for side, gap in gaps.items()}
        rows.append({"function": problem.id_function, "instance": problem.id_instance, "dimension": dimension, **shares})
        if index % instances == instances - 1:
            mine, other = (float(np.mean([row[side] for row in rows[-instances:]])) for side in ("ours", "cma"))
            seconds = time.monotonic() - began
            print(
                f"n = {dimension}, f{problem.id_function}: {mine:.3f} {other:.3f} {seconds:.0f} s", file=sys.stderr, flush=True
            )
    return rows


def interval(rows: list[dict[str, Any]], draws: int = 10_000) -> tuple[float, float, float]:
    """Mean difference of the shares, ours less cma's, with the bounds of its 95 % bootstrap interval over instances."""
    differences = np.array([row["ours"] - row["cma"] for row in rows])
    samples = np.random.default_rng(0).choice(differences, (draws, differences.size)).mean(axis=1)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


def render(rows: list[dict[str, Any]]) -> str:
    """One line a dimension, in markdown."""
    lines = ["| n | problems | ours | cma | difference | 95 % interval |", "|---|---|---|---|---|---|"]
    for dimension in sorted({row["dimension"] for row in rows}):
        here = [row for row in rows if row["dimension"] == dimension]
        means = [f"{np.mean([row[side] for row in here]):.4f}" for side in ("ours", "cma")]
        mean, low, high = interval(here)
        cells = [str(dimension), str(len(here)), *means, f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cma.bbob", description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--instances", type=int, default=15)
    parser.add_argument("--json", type=Path, help="write every problem's shares here, after each dimension")
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    noise = create_table(0, 24, max(options.dimensions), None)
    rows: list[dict[str, Any]] = []
    for dimension in options.dimensions:
        rows += measure(dimension, options.instances, noise)
        if options.json is not None:
            options.json.write_text(json.dumps(rows) + "\n")
    print(render(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
