"""Strong and weak scaling of a generation of real rollouts over the cores of this machine."""

from __future__ import annotations

import statistics

from esengine.launch.bench.figures import BenchSettings, Figure
from esengine.launch.bench.profile import rows_of_run
from esengine.ranks import StopRequest
from esengine.ranks.world import available_cores

_MEMBERS = 64  # per worker in weak scaling, and per core in strong scaling
_BARE = ("--eval-every", "0", "--final-episodes", "1", "--checkpoint-every", "0")


def bench_scaling(settings: BenchSettings, stop: StopRequest) -> list[Figure]:
    """The steps a second of more workers, compared with one worker's.

    The population is the same for every number of workers, or grows with it.
    """
    cores = available_cores()
    counts = [workers for workers in (1, 2, 4, 8, 16, 32, 64, 128) if workers < cores] + [cores]
    members = {("strong", workers): _MEMBERS * cores for workers in counts}
    members |= {("weak", workers): _MEMBERS * workers for workers in counts}
    rates: dict[tuple[str, int], list[float]] = {case: [] for case in members}
    for _ in range(settings.repeats):
        for (kind, workers), size in members.items():
            rows = rows_of_run(settings.env_id, workers, size, 2, stop, *_BARE)
            rates[kind, workers].append(rows[-1]["steps_per_s"])  # the first one loads kernels

    figures = []
    for (kind, workers), size in members.items():
        rate = statistics.median(rates[kind, workers])
        ratio = rate / workers / statistics.median(rates[kind, 1])
        name = f"{kind} scaling, {settings.env_id}, {size} members, {workers} workers"
        figures.append(Figure(name, rate, "steps/s", f"{workers} x one worker's", ratio))
    return figures
