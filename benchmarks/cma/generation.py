"""``python -m benchmarks.cma.generation``: CPU time of a generation without the objective, ours
beside ``cma``, in turns.

Ours is stop test, ask, evaluation of the population on a cost that is one column of the rows, and
tell, in one process with one thread; theirs is stop test, ask and tell of the same costs. A ratio
above 1 says how many times faster ours is. A unit of work is 64 members, as for any objective that
takes many at once, or 1 where that is said, as for one that takes them singly. ``lm-ma-es`` and
``sep-cma-es`` at 100,000 parameters show their time and memory, where no full matrix fits.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.cma.functions import Rows, RowsProblem
from esengine.algorithms import CMAES, CMAESSettings
from esengine.algorithms.strategy import Strategy
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.ranks import World

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import cma

LARGE = 100_000  # parameters of the linear methods
CASES = (  # n, lambda, factor, members of a unit of work, goal
    (10, 100, "eigen", 64, None),
    (100, 100, "eigen", 64, None),
    (100, 10_000, "eigen", 64, 12.0),
    (100, 10_000, "eigen", 1, None),
    (1000, 100, "eigen", 64, None),
    (1000, 100, "cholesky", 64, 5.0),
    (1000, 1000, "eigen", 64, None),
    (1000, 10_000, "eigen", 64, 3.0),
)


def one_column(rows: Rows) -> Rows:
    """A cost that takes no time to speak of, and sorts the members at random."""
    return np.array(rows[:, 0])


def our_generation(strategy: Strategy, dimension: int, together: int) -> Callable[[], None]:
    """One generation of ours."""
    noise = create_table(0, 24, dimension, None)
    pool = Pool(World(), RankState(noise, RowsProblem(one_column, dimension, together), None))

    def generation() -> None:
        strategy.should_stop()
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())

    return generation


def their_generation(dimension: int, population_size: int) -> Callable[[], None]:
    """One generation of ``cma``."""
    es = cma.CMAEvolutionStrategy(
        np.zeros(dimension), 1.0, {"popsize": population_size, "verbose": -9, "seed": 1}
    )

    def generation() -> None:
        es.stop()
        points = es.ask()
        es.tell(points, [float(point[0]) for point in points])

    return generation


def seconds_of(generation: Callable[[], None], count: int) -> float:
    """CPU seconds of one of ``count`` generations."""
    began = time.process_time()
    for _ in range(count):
        generation()
    return (time.process_time() - began) / count


def measure(
    dimension: int, population_size: int, factor: str, together: int, repeats: int
) -> dict[str, Any]:
    """Both sides in turns, the median of each and of their ratios."""
    settings = CMAESSettings(population_size=population_size, factor=factor)  # type: ignore[arg-type]
    sides = {
        "ours": our_generation(CMAES(settings, np.zeros(dimension), 0), dimension, together),
        "cma": their_generation(dimension, population_size),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        counts = {}
        for side, generation in sides.items():
            generation()
            counts[side] = max(2, min(50, int(0.5 / max(seconds_of(generation, 1), 1e-6))))
        rounds = [
            {side: seconds_of(generation, counts[side]) for side, generation in sides.items()}
            for _ in range(repeats)
        ]
    times = {side: 1e3 * float(np.median([one[side] for one in rounds])) for side in sides}
    ratios = [one["cma"] / one["ours"] for one in rounds]
    return {
        "n": dimension,
        "lambda": population_size,
        "factor": factor,
        "unit": together,
        "ours_ms": times["ours"],
        "cma_ms": times["cma"],
        "ratio": float(np.median(ratios)),
        "ratios": ratios,
    }


def measure_large(method: str, dimension: int) -> dict[str, Any]:
    """Time of a generation of a method that is linear in the parameters, and the memory that it
    added.
    """
    from esengine.launch.settings.methods import settings_of

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    strategy = settings_of(method)().strategy(np.zeros(dimension), 0)
    generation = our_generation(strategy, dimension, 1)
    generation()
    milliseconds = 1e3 * seconds_of(generation, 5)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    size = strategy.population_size
    return {
        "method": method,
        "n": dimension,
        "lambda": size,
        "ours_ms": milliseconds,
        "added_megabytes": added,
    }


def render(rows: list[dict[str, Any]]) -> str:
    """The table in markdown."""
    lines = [
        "| n | lambda | factor | unit | cma, ms | ours, ms | ratio | range | goal |",
        "|---" * 9 + "|",
    ]
    goals = {case[:4]: case[4] for case in CASES}
    for row in rows:
        goal = goals[(row["n"], row["lambda"], row["factor"], row["unit"])]
        span = f"{min(row['ratios']):.2f} to {max(row['ratios']):.2f}"
        times = [f"{row[side]:.3g}" for side in ("cma_ms", "ours_ms")]
        case = [f"{row['n']:,}", f"{row['lambda']:,}", row["factor"], str(row["unit"])]
        lines.append(
            "| " + " | ".join([*case, *times, f"{row['ratio']:.2f}", span, f"{goal or '-'}"]) + " |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cma.generation", description=__doc__
    )
    parser.add_argument("--repeats", type=int, default=5, help="turns of both sides")
    parser.add_argument("--parameters", type=int, help="only the cases of this many parameters")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    threadpool_limits(1)
    only = options.parameters
    large = (
        []
        if only not in (None, LARGE)
        else [measure_large(method, LARGE) for method in ("sep-cma-es", "lm-ma-es")]
    )
    rows = []
    for dimension, population_size, factor, together, _ in CASES:
        if only not in (None, dimension):
            continue
        rows.append(measure(dimension, population_size, factor, together, options.repeats))
        print(
            {key: value for key, value in rows[-1].items() if key != "ratios"},
            file=sys.stderr,
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps({"generations": rows, "large": large}, indent=1) + "\n")
    print(render(rows))
    for row in large:
        print(
            f"{row['method']} at n = {row['n']:,}, lambda = {row['lambda']}: {row['ours_ms']:.0f} "
            f"ms a generation, "
            f"{row['added_megabytes']:.0f} MB more memory, the noise table's 64 MB included"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
