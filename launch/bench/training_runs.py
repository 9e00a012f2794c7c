"""Real training runs: where their time goes, and their strong and weak scaling over the cores."""

from __future__ import annotations

import statistics
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from esengine.errors import WorkerError
from esengine.launch.bench.figures import BenchSettings, Figure
from esengine.launch.mpirun.local_ranks import run_ranks
from esengine.launch.runs.metrics_file import MetricsFile
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


def bench_profile(settings: BenchSettings, stop: StopRequest) -> list[Figure]:
    """The shares of the wall time of a run of truncation-es on all cores; they add up to one."""
    workers = available_cores()
    often = ("--eval-every", "5", "--checkpoint-every", "5")
    rows = rows_of_run(settings.env_id, workers, 64 * workers, settings.generations, stop, *often)
    return figures_of(rows, workers)


def rows_of_run(
    env_id: str, workers: int, members: int, generations: int, stop: StopRequest, *flags: str
) -> list[dict[str, Any]]:
    """The ``machine`` objects of the rows of a run of truncation-es on local ranks.

    Raises:
        UserError: there is no mpirun.
        WorkerError: the run failed.
        Interrupted: a signal ended it.
    """
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        run = Path(folder) / "run"
        task = ["train", "truncation-es", "--env-id", env_id, "--population-size", str(members)]
        ends = ["--generations", str(generations), "--run-dir", str(run), "--quiet"]
        run_ranks(workers, [*task, *ends, *flags], stop)
        if not (run / "done.json").exists():
            raise WorkerError(f"the run on {env_id} did not end; see its messages above")
        return [row["machine"] for row in MetricsFile(run / "metrics.jsonl").rows()]


def figures_of(rows: Iterable[dict[str, Any]], workers: int) -> list[Figure]:
    """The shares of the wall time by part.

    Args:
        rows: the ``machine`` objects of a run's rows.
        workers: their number in the run.
    """
    wall_s = rollouts = 0.0
    seconds: Counter[str] = Counter()
    for row in rows:
        seconds.update(row["seconds"])
        wall_s = row["elapsed_s"]
        rollouts += row["busy_share"] * (row["seconds"]["evaluate"] + row["seconds"]["publish"])
    evaluate = seconds.pop("evaluate")
    shares = {
        "rollouts": min(rollouts, evaluate),
        "waiting": max(0.0, evaluate - rollouts),
        **seconds,
    }
    shares["other"] = max(0.0, wall_s - sum(shares.values()))
    total = sum(shares.values())
    against = f"{wall_s:.2f} s with {workers} workers"

    return [
        Figure(part, share / total, "of the time", against, share / total)
        for part, share in shares.items()
    ]
