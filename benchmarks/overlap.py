"""The share of cores at work when generations overlap (``--lag``) or several runs share workers:
simulated, and through the real pool with members that sleep.

    python -m benchmarks.overlap                      # simulated
    python -m benchmarks.overlap --workers 63         # and held against a master and 63 workers
"""

from __future__ import annotations

import heapq
import json
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ranks import Lengths, SleepingMembers, answered_by_ranks, draw_lengths
from esengine.candidates import AntitheticPairs, Candidates
from esengine.launch.settings.flags import parse_process
from esengine.pool import Built, Part, Pool, Submitted, several_on_all_ranks
from esengine.problems.contract import Evaluated
from esengine.ranks import StopRequest, World


@dataclass(frozen=True)
class Case:
    """A workload.

    Attributes:
        lengths: how the members' lengths are distributed.
        members: of a generation.
        lag: generations between the state that one is drawn from and the state before it.
        runs: that share the workers.
        generations: of each run.
    """

    lengths: Lengths
    members: int
    lag: int = 0
    runs: int = 1
    generations: int = 30

    def drawn(self, run: int, generation: int, mean_s: float) -> NDArray[np.float64]:
        """The seconds of each member of a generation, (members,)."""
        return draw_lengths(self.lengths, mean_s, self.members, 1000 * run + generation)


def cases(workers: int) -> Iterator[Case]:
    """The workloads of the table, for a number of workers."""
    size = workers + 1
    for lengths in ("exponential", "uniform", "constant"):
        for lag in (0, 1, 2, 4):
            yield Case(lengths, size, lag)
        yield Case(lengths, size, runs=4)
    for lag in (0, 1):
        yield Case("exponential", 4 * size, lag, generations=10)
        yield Case("stragglers", size, lag)


def simulated_share(case: Case, workers: int) -> float:
    """The share of the workers at work from the first unit to the last, without any overhead: a free
    worker takes a member of the list that was opened first.
    """
    left = {}
    opened: deque[tuple[int, int, deque[float]]] = deque()
    busy = 0.0

    def open_generation(run: int, generation: int) -> None:
        if generation < case.generations:
            lengths = case.drawn(run, generation, 1.0)
            left[run, generation] = lengths.size
            opened.append((run, generation, deque(lengths.tolist())))

    for generation in range(case.lag + 1):
        for run in range(case.runs):
            open_generation(run, generation)
    told = [0] * case.runs
    number = count()
    ends: list[tuple[float, int, int, int]] = []
    now, idle = 0.0, workers
    while opened or ends:
        while idle and opened:
            run, generation, waiting = opened[0]
            length = waiting.popleft()
            if not waiting:
                opened.popleft()
            busy += length
            idle -= 1
            heapq.heappush(ends, (now + length, next(number), run, generation))
        now, _, run, generation = heapq.heappop(ends)
        idle += 1
        left[run, generation] -= 1
        while left.get((run, told[run])) == 0:
            del left[run, told[run]]
            told[run] += 1
            open_generation(run, told[run] + case.lag)
    return busy / (workers * now)


class Sleeping(SleepingMembers):
    """Members whose lengths depend on the run and the generation."""

    def __init__(self, case: Case, run: int, mean_s: float) -> None:
        super().__init__(np.zeros(1))
        self._drawn = partial(case.drawn, run, mean_s=mean_s)

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        lengths = self._drawn(candidates.generation)
        for member in range(first, first + len(rows)):
            time.sleep(lengths[member])
        return self._records[: len(rows)], {}


@dataclass(frozen=True)
class Span:
    """What the master saw of a run.

    Attributes:
        began, ended: when its first unit was assigned and its last result had arrived.
        busy_s: seconds that workers spent on its members.
    """

    began: float
    ended: float
    busy_s: float


def _run(pool: Pool, case: Case) -> Span:
    """Evaluate all generations of a run as the training loop does. The ranks have started."""
    began = time.perf_counter()
    busy_s = 0.0
    drawn: deque[Submitted] = deque()
    row = np.zeros(1)
    for generation in range(case.generations + case.lag):
        if generation < case.generations:
            drawn.append(pool.submit(AntitheticPairs(0, generation, case.members, 1.0, row)))
        if generation >= case.lag:
            busy_s += pool.collect(drawn.popleft()).busy_s
    return Span(began, time.perf_counter(), busy_s)


def measured_share(spans: Sequence[Span], workers: int) -> float:
    """The share of the workers at work from the first unit of any run to the last result."""
    seconds = max(span.ended for span in spans) - min(span.began for span in spans)
    return sum(span.busy_s for span in spans) / (workers * seconds)


def main_of_ranks(question: Path, answer: Path) -> None:
    """A rank's part: carry out one case after another. The answer is rewritten after each."""
    request = json.loads(question.read_text())
    world = World()
    shares: list[float] = []
    for values in request["cases"]:
        case = Case(**values)

        def build(run: int, case: Case = case) -> Built[Case]:
            return Built(Sleeping(case, run, request["mean_s"]), case)

        parts = [Part(partial(build, run), _run) for run in range(case.runs)]
        spans = several_on_all_ranks(world, parts)
        if spans is not None:
            shares.append(measured_share([succeeded(span) for span in spans], world.num_workers))
            show_case(case, world.num_workers, shares[-1])
            answer.write_text(json.dumps({"shares": shares}))


def succeeded(span: Span | BaseException) -> Span:
    """The span of a run, or raises what the run raised."""
    if isinstance(span, BaseException):
        raise span
    return span


@dataclass(frozen=True)
class OverlapSettings:
    """The share of busy cores by distribution of lengths, workers, members, lag and runs."""

    workers: int | None = None
    """Measure on this number of local workers what is else simulated for others."""
    mean_s: float = 0.2
    """Mean length of a member that is measured."""
    simulated: tuple[int, ...] = (63, 511, 9999)
    """Numbers of workers that are simulated."""


def show_case(case: Case, workers: int, measured: float | None = None) -> None:
    """Print the line of a case."""
    real = "" if measured is None else f"{measured:8.3f}"
    print(
        f"{workers:7,}  {case.members:7,}  {case.lengths:<11}  {case.lag:3}  {case.runs:4}  "
        f"{simulated_share(case, workers):9.3f}  {real}".rstrip(),
        flush=True,
    )


def main() -> int:
    """Simulate and measure; returns the exit status."""
    settings = parse_process(OverlapSettings)
    print("workers  members  lengths      lag  runs  simulated  measured", flush=True)
    if settings.workers is None:
        for workers in settings.simulated:
            for case in cases(workers):
                show_case(case, workers)
        return 0

    request: dict[str, Any] = {
        "cases": [asdict(case) for case in cases(settings.workers)],
        "mean_s": settings.mean_s,
    }
    answered_by_ranks(settings.workers, "benchmarks.overlap", request, StopRequest().install())
    return 0


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].endswith("request.json"):
        main_of_ranks(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        raise SystemExit(main())
