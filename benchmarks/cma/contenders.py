"""``python -m benchmarks.cma.contenders PAGE``: shares of targets reached by several searches on the
same instances, for a page of few evaluations (``budget``), of noise (``noisy``) or of many
parameters (``large``).

The first two take BBOB's functions from the ``cma`` package; ``large`` needs ``pip install -r
benchmarks/cma/requirements.txt``. All sides start from the same points, uniform in [-4, 4]^n, with
sigma 2 and their default population; a search that ends is followed by one from the next point
until the evaluations are used up. The 51 targets are 10^2 to 10^-8 above the optimum, evenly on a
logarithmic scale; with noise, the value of a point without it counts.

Runs that the file of ``--json`` holds already are not made again.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.cma.runs import add_run, read_runs
from esengine.algorithms import (
    CMAESSettings,
    LMMAESSettings,
    SepCMAESSettings,
    VkDCMAESSettings,
)
from esengine.algorithms.evolution.reliability import Reliability
from esengine.algorithms.strategy import Strategy
from esengine.algorithms.trial_runs import advance, pool_for
from esengine.candidates import RepeatedPopulation
from esengine.pool import Pool

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma
    from cma import bbobbenchmarks
    from cma.restricted_gaussian_sampler import GaussVkDSampler

TARGETS = 10.0 ** np.linspace(2, -8, 51)
SIGMA = 2.0
PAGES = {
    "budget": ("cma-es", "cma-es lq", "cma-es lq 4", "cma lq"),
    "noisy": ("cma-es", "cma-es adapted", "cma-es 4 lambda", "cma", "cma handler"),
    "large": ("vkd-cma-es", "sep-cma-es", "lm-ma-es", "cma vkd"),
}
"""The sides of each page; the first one is the reference of the differences."""
KEYS = ("page", "dimension", "function", "instance", "evaluations", "side")
OURS = {
    "cma-es": CMAESSettings(sigma=SIGMA),
    "cma-es lq": CMAESSettings(sigma=SIGMA, surrogate="lq"),
    "cma-es lq 4": CMAESSettings(sigma=SIGMA, surrogate="lq", surrogate_batch=4),
    "cma-es adapted": CMAESSettings(sigma=SIGMA, adapt_population="on"),
    "vkd-cma-es": VkDCMAESSettings(sigma=SIGMA),
    "sep-cma-es": SepCMAESSettings(sigma=SIGMA),
    "lm-ma-es": LMMAESSettings(sigma=SIGMA),
}


class Over(Exception):
    """No further evaluation can reach another target."""


class Counted:
    """A function that remembers the best value without noise, and ends a search.

    Args:
        value: maps a point to its value and that without noise, both above the optimum.
        limit: number of evaluations.
    """

    def __init__(self, value: Callable[[Any], tuple[float, float]], limit: int) -> None:
        self.value = value
        self.left = limit
        self.gap = np.inf

    @property
    def is_over(self) -> bool:
        """Whether no further evaluation can reach another target."""
        return self.left <= 0 or self.gap <= TARGETS[-1]

    def __call__(self, point: Any) -> float:
        if self.is_over:
            raise Over
        self.left -= 1
        value, true = self.value(point)
        self.gap = min(self.gap, true)
        return value

    def of_rows(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fitness of rows, (num_rows,); 0 for those that are evaluated no more."""
        return np.array([0.0 if self.is_over else -self(row) for row in rows])


def function_of(page: str, n: int, number: int, instance: int) -> Callable[[Any], Any]:
    """The value of a point with and without noise, above the optimum."""
    if page == "large":
        import cocoex

        from benchmarks.cma.bbob import problem_at

        chosen = f"dimensions: {n} function_indices: {number} instance_indices: {instance}"
        problem, optimum = problem_at(cocoex.Suite("bbob-largescale", "", chosen), 0)
        return lambda point: (problem(point) - optimum,) * 2

    function = getattr(bbobbenchmarks, f"F{number}")(instance)
    optimum = function.getfopt()

    def value(point: Any) -> tuple[float, float]:
        noisy, true = function._evalfull(np.asarray(point))
        return float(noisy) - optimum, float(true) - optimum

    return value


def search(side: str, cost: Counted, start: NDArray[np.float64], seed: int) -> None:
    """One search, until it ends by itself. Raises Over."""
    n = start.size
    if side in OURS or side == "cma-es 4 lambda":
        settings: Any = OURS.get(side)
        if settings is None:
            size = 4 * (4 + int(3 * np.log(n)))
            settings = replace(OURS["cma-es"], population_size=size)
        strategy = settings.strategy(start, seed)
        pool = pool_for(cost.of_rows, n)
        step = measuring(strategy, pool) if side == "cma-es adapted" else None
        while strategy.should_stop() is None:
            if step is None:
                advance(strategy, pool, 1)
            else:
                step()
            if cost.is_over:
                raise Over
        return

    options: dict[str, Any] = {"verbose": -9, "seed": seed + 1, "maxfevals": cost.left + 1}
    if side == "cma lq":
        cma.fmin_lq_surr(cost, start, SIGMA, options)
        return
    if side == "cma vkd":
        options = GaussVkDSampler.extend_cma_options(options)
    handler = cma.NoiseHandler(n, [1, 1, 30]) if side == "cma handler" else None
    cma.fmin(cost, start, SIGMA, options, noise_handler=handler)


def measuring(strategy: Strategy, pool: Pool) -> Callable[[], None]:
    """A generation in which some members are evaluated twice, as ``--noise`` does."""
    reliability = Reliability()

    def step() -> None:
        asked = RepeatedPopulation.around(strategy.ask(), common=False)
        size = asked.inner.population_size
        fitness = pool.evaluate(asked).fitness
        population = pool.population()
        population.reliability = reliability.value
        strategy.tell(asked.inner, fitness[:size], population)
        reliability.tell(fitness[:size], asked.repeated, fitness[size:], asked.common)

    return step


def measured(key: tuple[Any, ...]) -> dict[str, Any]:
    """One run: all searches of one side on one instance."""
    page, n, number, instance, evaluations, side = key
    seed = 100 * number + instance
    draw = np.random.default_rng(seed)
    np.random.seed(seed)  # noqa: NPY002, of the package's noise
    cost = Counted(function_of(page, n, number, instance), evaluations * n)
    began = time.process_time()
    with suppress(Over), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for attempt in range(1000):
            search(side, cost, draw.uniform(-4, 4, n), 1000 * seed + attempt)
    share = float(np.mean(max(cost.gap, TARGETS[-1]) <= TARGETS * (1 + 1e-9)))
    return dict(zip(KEYS, key, strict=True)) | {
        "share": share,
        "seconds": round(time.process_time() - began, 2),
    }


def measure(options: argparse.Namespace, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The runs that ``rows`` does not hold yet."""
    done = {tuple(row[key] for key in KEYS) for row in rows}
    first = 101 if options.page == "noisy" else 1
    functions = options.functions or range(first, first + (30 if first > 1 else 24))
    for n in options.dimensions:
        for number in functions:
            for instance in options.instances:
                for side in options.sides or PAGES[options.page]:
                    key = (options.page, n, number, instance, options.evaluations, side)
                    if key not in done:
                        yield measured(key)


def interval(differences: NDArray[np.float64]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean over instances."""
    draw = np.random.default_rng(0)
    means = draw.choice(differences, (10_000, differences.size)).mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def render(page: str, rows: list[dict[str, Any]]) -> str:
    """A line for each side, budget and number of parameters, on the instances that all have."""
    sides = PAGES[page]
    lines = ["| n | evaluations / n | side | problems | share | less the first side | s a run |"]
    lines.append("|---" * 7 + "|")
    groups = sorted({(row["dimension"], row["evaluations"]) for row in rows if row["page"] == page})
    for n, evaluations in groups:
        found: dict[tuple[int, int], dict[str, dict[str, Any]]] = {}
        for row in rows:
            if (row["page"], row["dimension"], row["evaluations"]) == (page, n, evaluations):
                place = (row["function"], row["instance"])
                found.setdefault(place, {})[row["side"]] = row
        present = [side for side in sides if any(side in each for each in found.values())]
        whole = [each for each in found.values() if set(present) <= set(each)]
        if not whole:
            continue
        reference = np.array([each[present[0]]["share"] for each in whole])
        for side in present:
            shares = np.array([each[side]["share"] for each in whole])
            seconds = np.mean([each[side]["seconds"] for each in whole])
            low, high = interval(shares - reference)
            difference = f"{np.mean(shares - reference):+.3f} ({low:+.3f} to {high:+.3f})"
            numbers = f"{len(whole)} | {shares.mean():.3f} | {difference} | {seconds:.2f}"
            lines.append(f"| {n} | {evaluations:,} | {side} | {numbers} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cma.contenders")
    parser.add_argument("page", choices=PAGES)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--functions", type=int, nargs="+", help="default all of the page")
    parser.add_argument("--instances", type=int, nargs="+", default=[1])
    parser.add_argument("--evaluations", type=int, default=100, help="for each parameter")
    parser.add_argument("--sides", nargs="+", help="default all of the page")
    parser.add_argument("--json", type=Path, nargs="+", default=[])
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    rows = read_runs(options.json)
    for row in measure(options, rows):
        rows.append(row)
        add_run(options.json, row)
    print(render(options.page, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
