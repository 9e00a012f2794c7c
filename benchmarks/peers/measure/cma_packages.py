"""CPU milliseconds of one generation of CMA-ES in the packages ``cma`` (pycma) and ``cmaes``: stop
test, ask, tell.

The values that are told were drawn before; making the list that `tell` takes is not measured.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np

from benchmarks.peers.measure.figure import emit

SIGMA, WARM_UP = 0.5, 1

Generation = Callable[[list[float]], float]
"""Does one generation with the given values, and returns its CPU seconds."""


def pycma(n: int, population_size: int) -> Generation:
    """The loop of ``cma``'s documentation."""
    warnings.filterwarnings("ignore")  # matplotlib is not installed
    import cma

    strategy = cma.CMAEvolutionStrategy(
        n * [0], SIGMA, {"popsize": population_size, "verbose": -9, "seed": 1}
    )

    def generation(values: list[float]) -> float:
        began = time.process_time()
        strategy.stop()
        solutions = strategy.ask()
        strategy.tell(solutions, values)
        return time.process_time() - began

    return generation


def cmaes(n: int, population_size: int) -> Generation:
    """The loop of ``cmaes``' documentation."""
    from cmaes import CMA

    strategy = CMA(mean=np.zeros(n), sigma=SIGMA, population_size=population_size, seed=1)

    def generation(values: list[float]) -> float:
        began = time.process_time()
        strategy.should_stop()
        solutions = [strategy.ask() for _ in range(population_size)]
        asked = time.process_time()
        told = list(zip(solutions, values, strict=True))
        resumed = time.process_time()
        strategy.tell(told)
        return asked - began + time.process_time() - resumed

    return generation


def milliseconds(generation: Generation, population_size: int, generations: int) -> float:
    """CPU milliseconds a generation, over ``generations`` after a warm-up."""
    random = np.random.default_rng(0)
    seconds = [
        generation(random.standard_normal(population_size).tolist())
        for _ in range(WARM_UP + generations)
    ]
    return 1e3 * sum(seconds[WARM_UP:]) / generations


if __name__ == "__main__":
    package, (n, population_size, generations) = sys.argv[1], map(int, sys.argv[2:])
    strategy = pycma(n, population_size) if package == "cma" else cmaes(n, population_size)
    emit(milliseconds(strategy, population_size, generations), (package, "numpy"), "1 thread")
