"""``python -m benchmarks.cma.constrained``: targets reached on the bbob-constrained suite, ours less
``cma``'s augmented Lagrangian, with a bootstrap interval.

Needs ``pip install -r benchmarks/cma/requirements.txt``. Both sides are CMA-ES with its default
population, begin at the suite's feasible start with sigma 2, and begin again there when a search
ends by its own criteria, until the evaluations are used up: ours with the mean as one more member
of each generation, theirs with the best member in its place, as each does by default. What counts
is the best feasible cost above the optimum: the 51 targets are 10^2 to 10^-8, evenly on a
logarithmic scale. The unit that the bootstrap draws is an instance of a function.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import cocoex
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from esengine.algorithms import CMAES, CMAESSettings
from esengine.algorithms.constraints import AugmentedLagrangian
from esengine.candidates import WithPoint
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import Columns, GeneralObjective
from esengine.problems.columns import ARRAY
from esengine.ranks import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

TARGETS = 10.0 ** np.linspace(2, -8, 51)
SIGMA = 2.0
NUM_FUNCTIONS = 54
Floats = NDArray[np.float64]


class Counted:
    """A problem as cost and constraints that remembers the best feasible cost of the first
    ``limit`` points.
    """

    def __init__(self, problem: Any, optimum: float, limit: int) -> None:
        self.problem = problem
        self.optimum = optimum
        self.left = limit
        self.best = np.inf

    def __call__(self, point: Floats) -> list[float]:
        cost = float(self.problem(point))
        limits = self.problem.constraint(point).tolist()
        if self.left > 0 and max(limits) <= 0:
            self.best = min(self.best, cost)
        self.left -= 1
        return [cost, *limits]

    def share(self) -> float:
        """The share of targets that were reached."""
        return float(np.mean(self.best - self.optimum <= TARGETS))


def ours(counted: Counted, seed: int) -> None:
    """Our searches of one problem."""
    start = np.array(counted.problem.initial_solution)
    num_constraints = counted.problem.number_of_constraints
    names = tuple(f"g:g{i}" for i in range(num_constraints))
    columns = Columns.parse(("cost", *names), has_value=True)
    problem = GeneralObjective(counted, start.size, minimize=True, columns=columns)
    rank_state = RankState(create_table(seed, 20, start.size, None), problem, None)
    with Pool(World(), rank_state) as pool:
        while counted.left > 0:
            search = CMAES(CMAESSettings(sigma=SIGMA), start, seed)
            lagrangian = AugmentedLagrangian(start.size, num_constraints)
            while counted.left > 0 and search.should_stop() is None:
                candidates = search.ask()
                found = pool.evaluate(WithPoint.of(candidates, search.parameters()))
                fitness, limits = found.fitness, found.arrays[ARRAY]
                told = lagrangian.fitness(fitness[:-1], limits[:-1], fitness[-1], limits[-1])
                search.tell(candidates, told, pool.population())
            seed += 1000


def theirs(counted: Counted, seed: int) -> None:
    """The searches of the ``cma`` package."""
    start = np.array(counted.problem.initial_solution)
    known: dict[bytes, list[float]] = {}

    def numbers(point: Any) -> list[float]:
        key = np.asarray(point).tobytes()
        if key not in known:
            known.clear()
            known[key] = counted(np.asarray(point))
        return known[key]

    while counted.left > 0:
        cost = cma.ConstrainedFitnessAL(
            lambda point: numbers(point)[0], lambda point: numbers(point)[1:], start.size
        )
        cost.al.logging = 0
        search = cma.CMAEvolutionStrategy(start, SIGMA, {"verbose": -9, "seed": seed + 1})
        while counted.left > 0 and not search.stop():
            points = search.ask()
            search.tell(points, [cost(point) for point in points])
            cost.update(search)
        seed += 1000


def shares(dimension: int, instance: int, function: int, evaluations: int) -> dict[str, float]:
    """The share of targets that each side reaches."""
    found = {}
    for name, side in (("ours", ours), ("cma", theirs)):
        suite = cocoex.Suite(
            "bbob-constrained",
            f"instances: {instance}",
            f"dimensions: {dimension} function_indices: {function}",
        )
        problem = suite[0]
        with tempfile.TemporaryDirectory() as folder:
            home = os.getcwd()
            os.chdir(folder)
            problem._best_parameter("print")
            best = np.loadtxt("._bbob_problem_best_parameter.txt")
            os.chdir(home)
        counted = Counted(problem, float(problem(best)), evaluations * dimension)
        side(counted, instance)
        found[name] = counted.share()
    return found


def interval(differences: Floats) -> tuple[float, float]:
    """The 95 % interval of the mean difference, by 10,000 bootstrap samples."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(differences, (10_000, differences.size)).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    """Run what the file does not hold yet, and print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--instances", type=int, nargs="+", default=[1])
    parser.add_argument("--evaluations", type=int, default=1000, help="times the dimension")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/cma/constrained.json"))
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    results = json.loads(options.json.read_text()) if options.json.exists() else {}
    with threadpool_limits(1):
        for dimension in options.dimensions:
            differences = []
            sides = []
            for instance in options.instances:
                for function in range(1, NUM_FUNCTIONS + 1):
                    key = f"{dimension} {options.evaluations} {instance} {function}"
                    if key not in results:
                        results[key] = shares(dimension, instance, function, options.evaluations)
                        options.json.write_text(json.dumps(results, indent=0) + "\n")
                    differences.append(results[key]["ours"] - results[key]["cma"])
                    sides.append([results[key]["ours"], results[key]["cma"]])
            mine, other = np.mean(sides, axis=0)
            low, high = interval(np.array(differences))
            print(
                f"n = {dimension}, {options.evaluations} n evaluations, {len(differences)} "
                f"problems: ours {mine:.3f}, cma {other:.3f}, difference "
                f"{mine - other:+.3f} [{low:+.3f}, {high:+.3f}]",
                flush=True,
            )


if __name__ == "__main__":
    main()
