"""A generation as discrete events: units on their way to workers, results on their way to the
master, workers that die.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import dispatch
from esengine.candidates import chunk_size, chunks
from esengine.errors import UserError
from esengine.pool.population import noise_sum_slices
from esengine.pool.worklist import IN_FLIGHT, WorkList
from esengine.ranks.messages import FANOUT


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a generation take.

    Attributes:
        master_s: of the master for a message: results received, a task sent.
        worker_s: of a worker for a message, beside the members themselves.
        publish_s: of a node leader to lay a publication out.
        latency_s: of a message between two nodes.
        bytes_per_s: of a link between two nodes.
        products_per_s: multiply-adds a second of one rank in the population sum.
    """

    master_s: float = 0.0
    worker_s: float = 0.0
    publish_s: float = 0.0
    latency_s: float = 0.0
    bytes_per_s: float = math.inf
    products_per_s: float = math.inf

    @classmethod
    def measured(
        cls, rows: list[dict[str, Any]], latency_s: float, bytes_per_s: float, products_per_s: float
    ) -> Costs:
        """The costs in the rows of `benchmarks.dispatch`."""
        values = {row["name"]: row["value"] for row in rows}
        names = (dispatch.MASTER_COST, dispatch.WORKER_COST, dispatch.PUBLISH_COST)
        missing = [name for name in names if name not in values]
        if missing:
            raise UserError(
                f"--costs must be what python -m benchmarks.dispatch --json wrote, has no row "
                f"{missing[0]!r}; run it again"
            )
        master_s, worker_s, publish_s = (float(values[name]) for name in names)
        return cls(master_s, worker_s, publish_s, latency_s, bytes_per_s, products_per_s)


@dataclass(frozen=True)
class Faults:
    """What goes wrong.

    Attributes:
        failures_per_hour: of one busy worker; its units are done again by others.
        detect_s: until the master knows.
        respawn_s: until a worker has been replaced.
        stragglers: fraction of the workers that are slow.
        slowdown: by which factor.
        seed: of the draws.
    """

    failures_per_hour: float = 0.0
    detect_s: float = 0.02
    respawn_s: float = 0.5
    stragglers: float = 0.0
    slowdown: float = 2.0
    seed: int = 0


@dataclass(frozen=True)
class Evaluated:
    """One simulated hand-out.

    Attributes:
        wall_s: from the first task to the last result.
        master_busy_s: seconds of it that the master worked.
        num_failures: workers that died.
    """

    wall_s: float
    master_busy_s: float
    num_failures: int


def list_scheduling(lengths: NDArray[np.float64], num_workers: int) -> float:
    """Makespan when the next piece always goes to the first free worker, at no cost."""
    free = [0.0] * num_workers
    for length in lengths:
        heapq.heappushpop(free, free[0] + float(length))
    return max(free)


class Simulation:
    """Units handed to workers by one master.

    Args:
        lengths: (num_units,) seconds of each unit on a healthy worker.
        num_workers: ranks beside the master.
        costs: what the parts take.
        faults: what goes wrong.
        singly: whether units never go out together, as those of a sum.
    """

    def __init__(
        self,
        lengths: NDArray[np.float64],
        num_workers: int,
        costs: Costs,
        faults: Faults,
        singly: bool = False,
    ) -> None:
        self.lengths, self.costs, self.faults = lengths.tolist(), costs, faults
        self._random = np.random.default_rng(faults.seed)
        slow = self._random.random(num_workers) < faults.stragglers
        self._pace = np.where(slow, faults.slowdown, 1.0).tolist()
        self._todo = WorkList([range(len(lengths))], num_workers, singly)
        self._held: list[deque[range]] = [
            deque() for _ in range(num_workers)
        ]  # until the master has the result
        self._answered = [0] * num_workers  # of those, the first ones, that are done
        self._arrived = [0] * num_workers  # of the others, the first ones, that are there
        self._running, self._gone = [False] * num_workers, [False] * num_workers
        self._events: list[tuple[float, int, str, int, float]] = []
        self._count = 0
        self._master_free = self._master_busy = 0.0
        self._num_failures = 0

    def run(self) -> Evaluated:
        """From the first task to the last result."""
        for _ in range(IN_FLIGHT):
            for worker in range(len(self._held)):
                self._refill(worker, 0.0)
        done, now = 0, 0.0
        while done < len(self.lengths):
            now, _, what, worker, seconds = heapq.heappop(self._events)
            match what:
                case "task" if (
                    self._arrived[worker] < len(self._held[worker]) - self._answered[worker]
                ):
                    self._arrived[worker] += 1
                    self._begin(worker, now)
                case "finished":
                    self._running[worker] = False
                    self._arrived[worker] -= 1
                    self._answered[worker] += 1
                    self._push(now + self.costs.latency_s, "result", worker, seconds)
                    self._begin(worker, now)
                case "result":
                    done += len(self._held[worker][0])
                    now = self._handle(worker, seconds, now)
                case "died":
                    self._bury(worker, now)
                case "back":
                    self._gone[worker] = False
                    self._refill(worker, now)
        return Evaluated(now, self._master_busy, self._num_failures)

    def _push(self, time: float, what: str, worker: int, seconds: float = 0.0) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, what, worker, seconds))

    def _occupy_master(self, now: float, cost: float) -> None:
        self._master_free = max(self._master_free, now) + cost
        self._master_busy += cost

    def _handle(self, worker: int, seconds: float, now: float) -> float:
        """The master's part for a result; returns when it has it."""
        units = self._held[worker].popleft()
        self._answered[worker] -= 1
        self._todo.learn(len(units), seconds)
        self._occupy_master(now, self.costs.master_s / 2)
        received = self._master_free
        self._refill(worker, now)
        return received

    def _refill(self, worker: int, now: float) -> None:
        """Give a worker its next units, if there are some for it."""
        if self._gone[worker]:
            return
        if (units := self._todo.deal(not self._held[worker])) is not None:
            self._occupy_master(now, self.costs.master_s / 2)
            self._held[worker].append(units)
            self._push(self._master_free + self.costs.latency_s, "task", worker)

    def _begin(self, worker: int, now: float) -> None:
        """Start the worker's next units if it is free; the failure that may end them is drawn
        now.
        """
        if self._running[worker] or not self._arrived[worker]:
            return
        self._running[worker] = True
        units = self._held[worker][self._answered[worker]]
        seconds = sum(self.lengths[unit] for unit in units) * self._pace[worker]
        fails_after = math.inf
        if self.faults.failures_per_hour > 0:
            fails_after = self._random.exponential(3600 / self.faults.failures_per_hour)
        if fails_after < seconds + self.costs.worker_s:
            self._push(now + fails_after, "died", worker)
        else:
            self._push(now + seconds + self.costs.worker_s, "finished", worker, seconds)

    def _bury(self, worker: int, now: float) -> None:
        """A worker died: its units are done again, first of all, and it comes back later."""
        self._num_failures += 1
        held = self._held[worker]
        while len(held) > self._answered[worker]:
            self._todo.take_back(held.pop())
        self._running[worker], self._gone[worker], self._arrived[worker] = False, True, 0
        self._push(now + self.faults.respawn_s, "back", worker)
        known = now + self.faults.detect_s
        for other, units in enumerate(self._held):  # the free ones take them over
            if not units:
                self._refill(other, known)


def publication_s(num_nodes: int, num_bytes: float, costs: Costs) -> float:
    """Seconds until every node leader has a publication and the master knows, along the tree of
    leaders.
    """
    depth, reached, width = 0, 1, 1
    while reached < num_nodes:
        depth, width = depth + 1, width * FANOUT
        reached += width
    hop = FANOUT * num_bytes / costs.bytes_per_s + costs.latency_s
    return costs.publish_s + depth * (hop + costs.latency_s)


def unit_lengths(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of the engine's units, from those of the members."""
    bounds = chunks(len(lengths), chunk_size(len(lengths)))
    return np.add.reduceat(lengths, [start for start, _ in bounds])


def evaluate(
    lengths: NDArray[np.float64], num_ranks: int, costs: Costs, faults: Faults | None = None
) -> Evaluated:
    """The members' evaluation on a master and workers; one rank does it alone."""
    faults = Faults() if faults is None else faults
    if num_ranks == 1:
        return Evaluated(float(lengths.sum()) + costs.worker_s * len(unit_lengths(lengths)), 0.0, 0)
    return Simulation(unit_lengths(lengths), num_ranks - 1, costs, faults).run()


def update_s(population_size: int, dimension: int, num_ranks: int, costs: Costs) -> float:
    """Seconds of a weighted sum of all members' noise, in slices of coordinates on all ranks,
    gathered on the master.
    """
    slices = np.array([stop - start for start, stop in noise_sum_slices(dimension)], np.float64)
    work = slices * population_size / costs.products_per_s
    summed = (
        float(work.sum())
        if num_ranks == 1
        else Simulation(work, num_ranks - 1, costs, Faults(), singly=True).run().wall_s
    )
    return summed + 4 * dimension / costs.bytes_per_s
