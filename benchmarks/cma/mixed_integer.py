"""``python -m benchmarks.cma.mixed_integer``: functions of whole and real numbers, ours beside
``cma`` and ``cmaes``.

The functions are those of Hamano et al. 2022 (arXiv 2205.13482), with 20 variables of which the
last 10 are whole. All start from the same point, drawn by the seed, with sigma 1 and their own
default population, and run to 1e-10, to their own reason to stop or for 2 x 10^5 evaluations. Needs
``pip install cmaes``.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from esengine.algorithms import CMAESSettings
from esengine.algorithms.trial_runs import pool_for
from esengine.problems.search_space import SearchSpace

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

N, TARGET, LIMIT = 20, 1e-10, 200_000
HALF = N // 2
Floats = NDArray[np.float64]
Rows = Callable[[Floats], Floats]
Outcome = tuple[int, bool]
"""Evaluations, and whether the target was reached."""


class Problem(NamedTuple):
    """A cost of rows of points, and the bounds of the whole variables, which are the last ones."""

    cost: Rows
    least: int
    most: int

    def start(self, seed: int) -> Floats:
        """The first mean: real variables and wide integers in [1, 3], binary ones between their
        values.
        """
        mean = np.random.default_rng([seed, N]).uniform(1, 3, N)
        mean[HALF:] = 0.5 if self.most == 1 else mean[HALF:]
        return mean


def ellipsoid(rows: Floats) -> Floats:
    stretch = 1e3 ** np.linspace(0, 1, rows.shape[1])
    return np.asarray(np.sum((stretch * rows) ** 2, axis=1), np.float64)


def leading_ones(rows: Floats) -> Floats:
    return np.asarray(np.sum(np.cumprod(rows > 0.5, axis=1), axis=1), np.float64)


PROBLEMS = {
    "ellipsoid and ones": Problem(
        lambda rows: ellipsoid(rows[:, :HALF]) + np.sum(rows[:, HALF:] < 0.5, axis=1), 0, 1
    ),
    "sphere and leading ones": Problem(
        lambda rows: np.sum(rows[:, :HALF] ** 2, axis=1) + HALF - leading_ones(rows[:, HALF:]), 0, 1
    ),
    "ellipsoid of integers": Problem(ellipsoid, -10, 10),
}


def ours(problem: Problem, seed: int) -> Outcome:
    """One run of cma-es with its margin."""
    whole = np.arange(N) >= HALF
    lower, upper = np.where(whole, problem.least, -np.inf), np.where(whole, problem.most, np.inf)
    space = SearchSpace(lower, upper, np.ones(N), np.full(N, np.nan), whole)
    strategy = CMAESSettings().strategy_in(space, problem.start(seed), seed)
    pool = pool_for(lambda rows: -problem.cost(space.points(rows)), N)
    while strategy.should_stop() is None and strategy.generation * strategy.population_size < LIMIT:
        candidates = strategy.ask()
        fitness = pool.evaluate(candidates).fitness
        strategy.tell(candidates, fitness, pool.population())
        if fitness.max() >= -TARGET:
            return strategy.generation * strategy.population_size, True
    return strategy.generation * strategy.population_size, False


def of_cma(problem: Problem, seed: int) -> Outcome:
    """One run of the ``cma`` package with its integer variables."""
    bounds = [[None] * HALF + [problem.least] * HALF, [None] * HALF + [problem.most] * HALF]
    options = {
        "verbose": -9,
        "seed": seed + 1,
        "integer_variables": list(range(HALF, N)),
        "bounds": bounds,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        es = cma.CMAEvolutionStrategy(problem.start(seed), 1.0, options)
        while not es.stop() and es.countevals < LIMIT:
            points = es.ask()
            costs = problem.cost(np.array(points))
            es.tell(points, costs.tolist())
            if costs.min() <= TARGET:
                return es.countevals, True
    return es.countevals, False


def of_cmaes(problem: Problem, seed: int) -> Outcome:
    """One run of ``cmaes.CMAwM``, by the authors of the margin."""
    import cmaes

    bounds = np.array([[-np.inf, np.inf]] * HALF + [[problem.least, problem.most]] * HALF)
    steps = np.repeat([0.0, 1.0], HALF)
    with np.errstate(all="ignore"):
        es = cmaes.CMAwM(problem.start(seed), 1.0, bounds, steps, seed=seed)
        evaluations = 0
        while evaluations < LIMIT and not es.should_stop():
            points, told = zip(*(es.ask() for _ in range(es.population_size)), strict=True)
            costs = problem.cost(np.array(points))
            es.tell(list(zip(told, costs.tolist(), strict=True)))
            evaluations += len(points)
            if costs.min() <= TARGET:
                return evaluations, True
    return evaluations, False


def main(arguments: list[str]) -> int:
    """Print a row of the table for every function."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=21)
    seeds = range(parser.parse_args(arguments).seeds)
    print(
        "| function | ours | success | cma | success | cmaes | success "
        "|\n|---|---|---|---|---|---|---|"
    )
    for name, problem in PROBLEMS.items():
        cells = [name]
        for run in (ours, of_cma, of_cmaes):
            outcomes = [run(problem, seed) for seed in seeds]
            reached = [evaluations for evaluations, success in outcomes if success]
            cells += [
                f"{np.median(reached):,.0f}" if reached else "-",
                f"{len(reached)} of {len(seeds)}",
            ]
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


if __name__ == "__main__":
    with threadpool_limits(1):
        sys.exit(main(sys.argv[1:]))
