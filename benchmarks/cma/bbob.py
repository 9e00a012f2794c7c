"""``python -m benchmarks.cma.bbob``: targets reached on the 24 BBOB functions, ours less ``cma``'s,
with a bootstrap interval.

Needs ``pip install -r benchmarks/cma/requirements.txt``. Both sides start from the same points,
uniform in [-4, 4]^n, with sigma 2 and their own default population; a search that ends by its own
criteria is followed by another from the next point until the evaluations are used up. With
``--restarts bipop`` each side runs its own BIPOP schedule instead, from the same first point; later
ones are drawn around it with sigma. The 51 targets are 10^2 to 10^-8 above the optimum, evenly on a
logarithmic scale. The unit that the bootstrap draws is an instance of a function, on which the two
sides are paired.

Runs that the file of ``--json`` holds already are not made again, so the work can be done in pieces
and stopped at any time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cocoex
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import RowsProblem
from benchmarks.cma.runs import add_run, read_runs
from esengine.algorithms import CMAESSettings
from esengine.algorithms.strategy import Strategy
from esengine.launch.settings.auto_method import choose
from esengine.launch.settings.methods import settings_of
from esengine.launch.settings.train_settings import TrainSettings
from esengine.noise import Noise, create_table
from esengine.pool import Pool, RankState
from esengine.ranks import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

TARGETS = 10.0 ** np.linspace(2, -8, 51)
SIGMA = 2.0
SIDES = ("ours", "cma")
KEYS = ("dimension", "function", "instance", "evaluations", "restarts", "side")


class Over(Exception):
    """Ends a search whose loop is not ours: no further evaluation can reach another target."""


class Counted:
    """A BBOB problem as costs of rows that remembers the best of the first ``limit``
    evaluations.
    """

    def __init__(self, problem: Any, optimum: float, limit: int) -> None:
        self.problem, self.optimum, self.left, self.best = problem, optimum, limit, np.inf

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        costs = np.array([self.problem(row) for row in rows])
        if self.left > 0:
            self.best = min(self.best, float(costs[: self.left].min()))
        self.left -= len(rows)
        return costs

    def of_one(self, row: NDArray[np.float64]) -> float:
        """The cost of one row; raises `Over` for a loop that cannot be asked to end."""
        if self.is_over:
            raise Over
        return float(self(np.asarray(row)[None])[0])

    @property
    def is_over(self) -> bool:
        """Whether no further evaluation can reach another target."""
        return self.left <= 0 or self.gap <= TARGETS[-1]

    @property
    def gap(self) -> float:
        """The best cost above the optimum."""
        return self.best - self.optimum


def starts(index: int, dimension: int) -> Iterator[NDArray[np.float64]]:
    """Points to start from on problem ``index``, without end."""
    draw = np.random.default_rng(index)
    while True:
        yield draw.uniform(-4, 4, dimension)


def around(point: NDArray[np.float64], seed: int) -> Iterator[NDArray[np.float64]]:
    """The point, then others drawn around it with sigma."""
    draw = np.random.default_rng([seed, 1])
    yield point
    while True:
        yield point + SIGMA * draw.standard_normal(point.size)


def ours(cost: Counted, index: int, restarts: str, noise: Noise) -> None:
    """Search until ``cost`` is over."""
    dimension = cost.problem.dimension
    pool = Pool(World(), RankState(noise, RowsProblem(cost, dimension, together=64), None))
    settings = settings_of_side(restarts, dimension, cost.left)
    for attempt, point in enumerate(starts(index, dimension)):
        strategy: Strategy = settings.strategy(point, 1000 * index + attempt)
        while strategy.should_stop() is None:
            candidates = strategy.ask()
            strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
            if cost.is_over:
                return


def settings_of_side(restarts: str, dimension: int, evaluations: int) -> Any:
    """What ours searches with; for auto, what ``esengine train auto --max-evaluations`` chooses."""
    if restarts != "auto":
        return CMAESSettings(sigma=SIGMA, restarts=restarts, max_restarts=30)  # type: ignore[arg-type]
    train = TrainSettings(
        objective="benchmark:cost", dimension=dimension, max_evaluations=evaluations
    )
    choice = choose(train, noisy=False)
    kind: Any = settings_of(choice.method)
    return kind(sigma=SIGMA, **dict(choice.settings)).for_budget(has_budget=True)


def theirs(cost: Counted, index: int, restarts: str) -> None:
    """The same by ``cma``."""
    for attempt, point in enumerate(starts(index, cost.problem.dimension)):
        options = {"verbose": -9, "seed": 1000 * index + attempt + 1, "maxfevals": np.inf}
        if restarts != "none":
            with suppress(Over):
                begin = around(point, index + attempt)
                cma.fmin2(
                    cost.of_one,
                    lambda begin=begin: next(begin),
                    SIGMA,
                    options,
                    restarts=30,
                    bipop=True,
                )
            if cost.is_over:
                return
            continue
        es = cma.CMAEvolutionStrategy(point, SIGMA, options)
        while not es.stop():
            points = es.ask()
            es.tell(points, cost(np.array(points)).tolist())
            if cost.is_over:
                return


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


def measure(options: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The runs that ``rows`` does not hold yet."""
    done = {tuple(row[key] for key in KEYS) for row in rows}
    noise = create_table(0, 24, max(options.dimensions), None)
    for dimension in options.dimensions:
        instances = f"instances: 1-{options.instances}"
        functions = "function_indices: " + ",".join(map(str, options.functions))
        suite = cocoex.Suite("bbob", instances, f"dimensions: {dimension} {functions}")
        for place in range(len(suite)):
            problem, optimum = problem_at(suite, place)
            index = (
                15 * (problem.id_function - 1) + problem.id_instance - 1
            )  # of the seeds, whatever is measured beside it
            for side in options.sides:
                key = (
                    dimension,
                    problem.id_function,
                    problem.id_instance,
                    options.evaluations,
                    options.restarts,
                    side,
                )
                if key in done:
                    continue
                cost = Counted(problem, optimum, options.evaluations * dimension)
                began = time.process_time()
                if side == "ours":
                    ours(cost, index, options.restarts, noise)
                else:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        theirs(cost, index, options.restarts)
                seconds = round(time.process_time() - began, 3)
                yield {
                    **dict(zip(KEYS, key, strict=True)),
                    "share": float(np.mean(cost.gap <= TARGETS)),
                    "seconds": seconds,
                }


def paired(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], NDArray[np.float64]]:
    """Shares of targets reached, (num_problems, 2) as `SIDES`, by (dimension, function,
    evaluations, restarts).
    """
    shares: dict[tuple[Any, ...], dict[int, dict[str, float]]] = {}
    for row in rows:
        group = (row["dimension"], row["function"], row["evaluations"], row["restarts"])
        shares.setdefault(group, {}).setdefault(row["instance"], {})[row["side"]] = row["share"]
    return {
        group: np.array(
            [
                [of_sides[side] for side in SIDES]
                for of_sides in problems.values()
                if len(of_sides) == len(SIDES)
            ]
        )
        for group, problems in sorted(shares.items())
    }


def interval(shares: NDArray[np.float64], draws: int = 10_000) -> tuple[float, float, float]:
    """Mean difference of the shares, ours less cma's, with the bounds of its 95 % bootstrap
    interval over instances.
    """
    differences = shares[:, 0] - shares[:, 1]
    samples = np.random.default_rng(0).choice(differences, (draws, differences.size)).mean(axis=1)
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(differences.mean()), float(low), float(high)


def render(rows: list[dict[str, Any]]) -> str:
    """A line for each dimension, and one for each function on which the sides differ, in
    markdown.
    """
    groups = {group: shares for group, shares in paired(rows).items() if len(shares)}
    together: dict[tuple[Any, ...], list[NDArray[np.float64]]] = {}
    for (dimension, _, evaluations, restarts), shares in groups.items():
        together.setdefault((dimension, evaluations, restarts), []).append(shares)
    head = "| problems | ours | cma | difference | 95 % interval |"
    lines = [f"| n | evaluations / n | restarts {head}", "|---" * 8 + "|"]
    for (dimension, evaluations, restarts), parts in together.items():
        lines.append(
            f"| {dimension} | {evaluations:,} | {restarts} | " + cells_of(np.concatenate(parts))
        )
    lines += ["", f"| n | evaluations / n | function {head}", "|---" * 8 + "|"]
    for (dimension, function, evaluations, _), shares in groups.items():
        if np.any(shares[:, 0] != shares[:, 1]):
            lines.append(f"| {dimension} | {evaluations:,} | f{function} | " + cells_of(shares))
    return "\n".join(lines)


def cells_of(shares: NDArray[np.float64]) -> str:
    """The end of a line of the table."""
    mean, low, high = interval(shares)
    means = [f"{share:.4f}" for share in shares.mean(axis=0)]
    return (
        " | ".join([str(len(shares)), *means, f"{mean:+.4f}", f"{low:+.4f} to {high:+.4f}"]) + " |"
    )


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cma.bbob", description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--functions", type=int, nargs="+", default=list(range(1, 25)))
    parser.add_argument("--instances", type=int, default=15)
    parser.add_argument("--evaluations", type=int, default=2000, help="for each parameter")
    parser.add_argument(
        "--restarts",
        choices=["none", "bipop", "auto"],
        default="none",
        help="none begins again with the default population; auto is what esengine train auto "
        "chooses for the budget, beside BIPOP of cma",
    )
    parser.add_argument("--sides", choices=SIDES, nargs="+", default=list(SIDES))
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
