"""Tasks that do nothing a second of Ray with two workers: remote functions, or two actors that get
them in turns.
"""

from __future__ import annotations

import os
import sys
import time
from tempfile import TemporaryDirectory

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import ray

from benchmarks.peers.measure.figure import emit, rate

WORKERS = 2


def nothing(tasks: range) -> list[float]:
    """A chunk of tasks."""
    return [0.0 for _ in tasks]


class Worker:
    """An actor."""

    def nothing(self, tasks: range) -> list[float]:
        return nothing(tasks)


def tasks_a_second(kind: str, count: int, chunk: int) -> float:
    """Tasks a second; all are handed out before the first result is waited for."""
    if kind == "actors":
        actors = [ray.remote(Worker).remote() for _ in range(WORKERS)]
        functions = [actor.nothing for actor in actors]
    else:
        functions = [ray.remote(nothing)] * WORKERS
    chunks = [range(start, min(start + chunk, count)) for start in range(0, count, chunk)]

    def work() -> int:
        return sum(
            map(
                len,
                ray.get([functions[i % WORKERS].remote(tasks) for i, tasks in enumerate(chunks)]),
            )
        )

    work()
    return rate(work, time.perf_counter)


if __name__ == "__main__":
    with TemporaryDirectory() as folder:  # for Ray's sockets and logs
        ray.init(
            num_cpus=WORKERS,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            _temp_dir=folder,
        )
        value = tasks_a_second(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        ray.shutdown()
    emit(value, ("ray",), f"{WORKERS} workers and a master, and Ray's own processes")
