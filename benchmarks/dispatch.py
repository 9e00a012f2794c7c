"""The cost of handing a member to a worker: members that do nothing, and members that sleep.

    python -m benchmarks.dispatch --json benchmarks/dispatch.json

`benchmarks.scaling_model` simulates larger machines with the costs in that file.
"""

from __future__ import annotations

import multiprocessing
import signal
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mpi_pool import nothing
from benchmarks.ranks import Request, Timings, answered_by_ranks, measured_by_ranks
from esengine.errors import Interrupted, UserError, WorkerError, listed
from esengine.launch.bench.figures import Figure, report
from esengine.launch.settings.flags import parse_process
from esengine.ranks import StopRequest
from esengine.ranks.signals import SIGNALS

NUM_WORKERS = 2
NUM_MEMBERS = 32_767  # the largest population whose units are single members
SLEEP_S = 0.01
_SLEEPS = 64  # of every worker in a generation
_MANY_SLEEPS = (
    256  # in one that is long beside its beginning and end, which cost the same whatever its length
)
_SINGLE = 2000  # members with a message each
# workers that always have a message for the master, so that its time is none that it spends looking
# for one
_CROWD = 8
_SLOW_TASKS = 2000  # enough for pools that do a few thousand a second

MASTER_COST = "master's time a message"
WORKER_COST = "worker's time a message, waits included"
SLEEP_COST = "a sleeping member's time beyond its sleep"
PUBLISH_COST = "a publication"
ROUND_TRIP = "a generation of one member"


@dataclass(frozen=True)
class DispatchSettings:
    """Measure what it costs to hand members to workers, compared with other pools."""

    json: Path | None = None
    """Also write the rows to this file."""
    check: bool = False
    """Exit with 1 if a goal was missed."""
    repeats: int = 7
    """Alternating measurements of each figure; the median is shown."""
    workers: tuple[int, ...] = (1, 3, 7, 15, 31, 63)
    """Numbers of workers that the busy share is measured at."""

    def check_values(self) -> None:
        """Raises UserError for values that measure nothing."""
        if self.repeats < 1:
            raise UserError(f"--repeats must be at least 1, got {self.repeats}; use 7")
        if not self.workers or min(self.workers) < 1:
            raise UserError(
                f"--workers must be numbers from 1, got {listed(self.workers) or 'none'}; use 1 3 7"
            )


def bench_dispatch(settings: DispatchSettings, stop: StopRequest) -> list[Figure]:
    """Members a second through the pool and through other pools, busy shares, and costs."""
    ours: list[Timings] = []
    single: list[Timings] = []
    others: tuple[list[float], list[float], list[float]] = ([], [], [])
    for _ in range(settings.repeats):
        ours.append(measured_by_ranks(NUM_WORKERS, Request(NUM_MEMBERS), stop))
        single.append(measured_by_ranks(NUM_WORKERS, Request(_SINGLE, 3, singly=True), stop))
        others[0].append(_multiprocessing_rate(1))
        others[1].append(_multiprocessing_rate(NUM_MEMBERS // (4 * NUM_WORKERS)))
        others[2].append(_mpi_pool_rate(stop))
    rate, alone = _rate(ours, NUM_MEMBERS), _rate(single, _SINGLE)
    pool, chunked, executor = (statistics.median(rates) for rates in others)
    name = f"no-op members, {NUM_WORKERS} workers"
    figures = [
        Figure(name, rate, "members/s", f"multiprocessing.Pool {pool:,.0f}", rate / pool, 4.0),
        Figure(name, rate, "members/s", f"MPIPoolExecutor {executor:,.0f}", rate / executor, 40.0),
        Figure(
            name,
            rate,
            "members/s",
            f"multiprocessing.Pool in 8 chunks {chunked:,.0f}",
            rate / chunked,
        ),
        Figure(
            f"{name}, a message each",
            alone,
            "members/s",
            f"multiprocessing.Pool {pool:,.0f}",
            alone / pool,
        ),
    ]
    return [*figures, *_efficiencies(settings, stop), *_costs(single, settings, stop)]


def _rate(timings: list[Timings], num_members: int) -> float:
    """Members a second, the median of all generations."""
    return num_members / statistics.median(seconds for run in timings for seconds in run.wall_s)


def _multiprocessing_rate(chunksize: int) -> float:
    with multiprocessing.Pool(NUM_WORKERS, _end_by_signals) as pool:
        for _ in pool.imap_unordered(nothing, range(100)):
            pass  # the workers have started
        began = time.perf_counter()
        for _ in pool.imap_unordered(nothing, range(NUM_MEMBERS), chunksize):
            pass
        return NUM_MEMBERS / (time.perf_counter() - began)


def _end_by_signals() -> None:
    """In a worker of multiprocessing: end on SIGTERM, by which its pool closes; our own handler
    would only remember it.
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _mpi_pool_rate(stop: StopRequest) -> float:
    request = {"num_tasks": _SLOW_TASKS}
    program = ("-m", "benchmarks.mpi_pool")
    answer = answered_by_ranks(NUM_WORKERS, "mpi4py.futures", request, stop, *program)
    return _SLOW_TASKS / float(answer["seconds"])


def _efficiencies(settings: DispatchSettings, stop: StopRequest) -> list[Figure]:
    """Busy shares; members that sleep use no processor, so any number of workers fits on this
    machine.

    A sleep takes longer than it was asked for, which is no fault of the pool's: a share is of what
    it takes in a bare loop.
    """
    cases = [
        *((workers, _SLEEPS) for workers in settings.workers),
        (max(settings.workers), _MANY_SLEEPS),
    ]
    walls: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    sleeps: list[float] = []
    for _ in range(min(settings.repeats, 3)):
        sleeps += _sleeps()
        for (workers, each), found in walls.items():
            timings = measured_by_ranks(workers, Request(each * workers, 3, SLEEP_S), stop)
            found.append(statistics.median(timings.wall_s))
    sleep_s = statistics.median(sleeps)
    against = f"always asleep, {sleep_s * 1e3:.2f} ms each"
    figures = []
    for (workers, each), found in walls.items():
        share = each * sleep_s / statistics.median(found)
        goal = 0.97 if each == _MANY_SLEEPS else None
        name = f"busy share, {workers} workers, {each} members each"
        figures.append(Figure(name, share, "of the time", against, share, goal))
    return figures


def _sleeps() -> list[float]:
    """Seconds that sleeps of `SLEEP_S` take in a bare loop."""
    found = []
    for _ in range(_SLEEPS):
        began = time.perf_counter()
        time.sleep(SLEEP_S)
        found.append(time.perf_counter() - began)
    return found


def _costs(single: list[Timings], settings: DispatchSettings, stop: StopRequest) -> list[Figure]:
    """What the simulation of larger machines is made of; ratios say how many workers with members
    of 100 ms that is.
    """
    asleep = measured_by_ranks(1, Request(_SLEEPS, 3, SLEEP_S), stop)
    one = measured_by_ranks(1, Request(1, 20), stop)
    crowd = measured_by_ranks(_CROWD, Request(_SINGLE, 9, singly=True), stop)
    costs = {
        MASTER_COST: statistics.median(crowd.master_s) / _SINGLE,
        WORKER_COST: statistics.median(
            NUM_WORKERS * wall / _SINGLE for timings in single for wall in timings.wall_s
        ),
        SLEEP_COST: max(0.0, statistics.median(asleep.wall_s) / _SLEEPS - SLEEP_S),
        PUBLISH_COST: statistics.median(one.publish_s),
        ROUND_TRIP: statistics.median(one.wall_s),
    }
    return [
        Figure(name, cost, "s", "members of 100 ms", 0.1 / max(cost, 1e-9))
        for name, cost in costs.items()
    ]


def main() -> int:
    """Measure and print the table; returns the exit status."""
    settings = parse_process(DispatchSettings)
    try:
        settings.check_values()
        figures = bench_dispatch(settings, StopRequest().install())
    except (UserError, WorkerError, Interrupted) as error:
        print(f"dispatch: {error}", file=sys.stderr)
        return 2
    return report(figures, settings.json, settings.check)


if __name__ == "__main__":
    raise SystemExit(main())
