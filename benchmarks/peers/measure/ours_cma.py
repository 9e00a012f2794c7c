"""CPU milliseconds of one generation of this engine's CMA-ES in one process: stop test, ask,
evaluation, tell.

The objective returns the next of numbers drawn before, so a generation is all that a user pays
beside the objective: drawing the members, one call of a Python function and one record for each,
and the update.
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np

from benchmarks.peers.measure.figure import emit
from esengine import ObjectiveProblem, run_search
from esengine.algorithms import CMAES, CMAESSettings
from esengine.pool import Pool

SIGMA, WARM_UP = 0.5, 1


def milliseconds(n: int, population_size: int, generations: int) -> float:
    """CPU milliseconds a generation, over ``generations`` after a warm-up."""
    values = itertools.cycle(
        np.random.default_rng(0).standard_normal(population_size * 7 + 1).tolist()
    )

    def search(pool: Pool) -> float:
        strategy = CMAES(
            CMAESSettings(population_size=population_size, sigma=SIGMA), np.zeros(n), 0
        )
        began = 0.0
        for generation in range(WARM_UP + generations):
            if generation == WARM_UP:
                began = time.process_time()
            strategy.should_stop()
            candidates = strategy.ask()
            strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        return 1e3 * (time.process_time() - began) / generations

    return run_search(search, ObjectiveProblem(lambda x: next(values), n, minimize=True))


if __name__ == "__main__":
    n, population_size, generations = map(int, sys.argv[1:])
    emit(
        milliseconds(n, population_size, generations),
        ("esengine-mpi", "numpy", "numba"),
        "1 thread",
    )
