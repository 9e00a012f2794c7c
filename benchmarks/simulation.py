"""A generation as discrete events: units on their way to workers, results on their way to the master, workers that die."""

from __future__ import annotations

import heapq
import math
from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import chunk_size, chunks
from esengine.dispatch import IN_FLIGHT
from esengine.errors import UserError
from esengine.launch.bench import dispatch
from esengine.pool import noise_sum_slices
from esengine.world import FANOUT


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a generation take.

    Attributes:
        master_s: of the master for a unit: one result received, one task sent.
        worker_s: of a worker for a unit, beside the members themselves.
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
    def measured(cls, rows: list[dict[str, Any]], latency_s: float, bytes_per_s: float, products_per_s: float) -> Costs:
        """The costs in the rows of ``bench dispatch``."""
        values = {row["name"]: row["value"] for row in rows}
        names = (dispatch.MASTER_COST, dispatch.WORKER_COST, dispatch.PUBLISH_COST)
        missing = [name for name in names if name not in values]
        if missing:
            raise UserError(
                f"--costs must be what esengine bench dispatch --json wrote, has no row {missing[0]!r}; run it again"
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
    """

    def __init__(self, lengths: NDArray[np.float64], num_workers: int, costs: Costs, faults: Faults) -> None:
        self.lengths, self.costs, self.faults = lengths.tolist(), costs, faults
        self._random = np.random.default_rng(faults.seed)
        slow = self._random.random(num_workers) < faults.stragglers
        self._pace = np.where(slow, faults.slowdown, 1.0).tolist()
        self._todo = deque(range(len(lengths)))
        self._last = IN_FLIGHT * num_workers
        self._waiting: list[deque[int]] = [deque() for _ in range(num_workers)]  # arrived, not begun
        self._held = [0] * num_workers
        self._running: list[int | None] = [None] * num_workers
        self._events: list[tuple[float, int, str, int, int]] = []
        self._count = 0
        self._master_free = self._master_busy = 0.0
        self._num_failures = 0

    def run(self) -> Evaluated:
        """From the first task to the last result."""
        for depth in range(1, IN_FLIGHT + 1):
            for worker in range(len(self._held)):
                if self._todo and (depth == 1 or len(self._todo) > self._last):
                    self._send(worker, self.costs.master_s / 2)
        done, now = 0, 0.0
        while done < len(self.lengths):
            now, _, what, worker, unit = heapq.heappop(self._events)
            match what:
                case "task":
                    self._waiting[worker].append(unit)
                    self._begin(worker, now)
                case "finished":
                    self._running[worker] = None
                    self._push(now + self.costs.latency_s, "result", worker, unit)
                    self._begin(worker, now)
                case "result":
                    done += 1
                    now = self._handle(worker, now)
                case "died":
                    self._bury(worker, now)
                case "back":
                    self._held[worker] = 0
                    self._refill(worker, now)
        return Evaluated(now, self._master_busy, self._num_failures)

    def _push(self, time: float, what: str, worker: int, unit: int) -> None:
        self._count += 1
        heapq.heappush(self._events, (time, self._count, what, worker, unit))

    def _send(self, worker: int, cost: float, now: float = 0.0) -> None:
        self._occupy_master(now, cost)
        self._held[worker] += 1
        self._push(self._master_free + self.costs.latency_s, "task", worker, self._todo.popleft())

    def _occupy_master(self, now: float, cost: float) -> None:
        self._master_free = max(self._master_free, now) + cost
        self._master_busy += cost

    def _begin(self, worker: int, now: float) -> None:
        """Start the worker's next unit if it is free; the failure that may end it is drawn now."""
        if self._running[worker] is not None or not self._waiting[worker]:
            return
        unit = self._waiting[worker].popleft()
        self._running[worker] = unit
        length = self.lengths[unit] * self._pace[worker] + self.costs.worker_s
        fails_after = math.inf
        if self.faults.failures_per_hour > 0:
            fails_after = self._random.exponential(3600 / self.faults.failures_per_hour)
        if fails_after < length:
            self._push(now + fails_after, "died", worker, unit)
        else:
            self._push(now + length, "finished", worker, unit)

    def _handle(self, worker: int, now: float) -> float:
        """The master's part for a result; returns when it has it."""
        self._occupy_master(now, self.costs.master_s / 2)
        received = self._master_free
        self._held[worker] -= 1
        self._refill(worker, now)
        return received

    def _refill(self, worker: int, now: float) -> None:
        if self._todo and (len(self._todo) > self._last or self._held[worker] == 0):
            self._send(worker, self.costs.master_s / 2, now)

    def _bury(self, worker: int, now: float) -> None:
        """A worker died: its units are done again, first of all, and it comes back later."""
        self._num_failures += 1
        lost = [unit for unit in (self._running[worker], *self._waiting[worker]) if unit is not None]
        self._running[worker] = None
        self._waiting[worker].clear()
        self._todo.extendleft(lost)
        self._push(now + self.faults.respawn_s, "back", worker, -1)
        known = now + self.faults.detect_s
        for other, held in enumerate(self._held):  # the free ones take them over
            if held == 0 and self._todo:
                self._send(other, self.costs.master_s / 2, known)


def publication_s(num_nodes: int, num_bytes: float, costs: Costs) -> float:
    """Seconds until every node leader has a publication and the master knows, along the tree of leaders."""
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


def evaluate(lengths: NDArray[np.float64], num_ranks: int, costs: Costs, faults: Faults | None = None) -> Evaluated:
    """The members' evaluation on a master and workers; one rank does it alone."""
    faults = Faults() if faults is None else faults
    if num_ranks == 1:
        return Evaluated(float(lengths.sum()) + costs.worker_s * len(unit_lengths(lengths)), 0.0, 0)
    return Simulation(unit_lengths(lengths), num_ranks - 1, costs, faults).run()


def update_s(population_size: int, dimension: int, num_ranks: int, costs: Costs) -> float:
    """Seconds of a weighted sum of all members' noise, in slices of coordinates on all ranks, gathered on the master."""
    slices = np.array([stop - start for start, stop in noise_sum_slices(dimension)], np.float64)
    work = slices * population_size / costs.products_per_s
    summed = float(work.sum()) if num_ranks == 1 else Simulation(work, num_ranks - 1, costs, Faults()).run().wall_s
    return summed + 4 * dimension / costs.bytes_per_s
