"""Strong and weak scaling of a generation of real rollouts over the cores of this machine."""

from __future__ import annotations

import statistics

from esengine.launch.bench.figures import BenchSettings, Figure
from esengine.launch.bench.ranks import Request, measured_by_ranks
from esengine.ranks.signals import StopRequest
from esengine.ranks.world import available_cores

_MEMBERS = 64  # of a worker in weak scaling, and of the least number of cores in strong scaling


def bench_scaling(settings: BenchSettings, stop: StopRequest) -> list[Figure]:
    """Speed-ups over one worker: the same population on more workers, and a population that grows
    with them.
    """
    cores = available_cores()
    counts = [workers for workers in (1, 2, 4, 8, 16, 32, 64, 128) if workers < cores] + [cores]
    population_size = _MEMBERS * cores
    walls: dict[tuple[str, int], list[float]] = {
        (kind, workers): [] for kind in ("strong", "weak") for workers in counts
    }
    for _ in range(settings.repeats):
        for (kind, workers), found in walls.items():
            members = population_size if kind == "strong" else _MEMBERS * workers
            request = Request(members, 1, env_id=settings.env_id)
            found.append(statistics.median(measured_by_ranks(workers, request, stop).wall_s))
    figures = []
    for (kind, workers), found in walls.items():
        members = population_size if kind == "strong" else _MEMBERS * workers
        rate = members / statistics.median(found)
        alone = statistics.median(walls[kind, 1])
        ratio = alone / statistics.median(found) / (workers if kind == "strong" else 1)
        name = f"{kind} scaling, {settings.env_id}, {members} members, {workers} workers"
        figures.append(Figure(name, rate, "members/s", f"{workers} x one worker's", ratio))
    return figures
