"""Doing tasks: their units one by one, or several quick units by one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from esengine.pool.rank_state import Kind, RankState
from esengine.pool.worklist import Pace
from esengine.problems.chunk_arrays import pack_chunk
from esengine.problems.failures import Failure, MembersFailed
from esengine.ranks import StopRequest
from esengine.ranks.messages import Task

_CALL_S = 2e-3  # time of one call that does several units
_MOST = 256  # units of one call, since the rows of all their members are made at once
_NONE: list[Failure] = []


class Outcome(NamedTuple):
    """The outcome of one call.

    Attributes:
        units: the units that were done.
        payloads: the result of each.
        failures: members that raised an exception; then it is a single unit.
        seconds: time that the call took.
        num_left: units of the task that are still to be done.
    """

    units: range
    payloads: list[bytes]
    failures: list[Failure]
    seconds: float
    num_left: int


class TaskRunner:
    """Does tasks, and measures how many units of an evaluation one call should do.

    Args:
        rank_state: this rank's.
        stop: cuts a call short.
        begin: called before each unit, with the members of an evaluation, or None for a sum. Units
            are then done one by one.
    """

    def __init__(
        self,
        rank_state: RankState,
        stop: StopRequest,
        begin: Callable[[tuple[int, int] | None], None] | None = None,
    ) -> None:
        self._rank_state = rank_state
        self._stop = stop
        self._begin = begin
        self._pace = Pace(_CALL_S, _MOST)
        self._version = -1

    def run(self, task: Task) -> Iterator[Outcome]:
        """Do a task's units in order.

        Raises:
            Abandoned: a signal asked to stop.
        """
        version, kind, first, *_ = task
        bounds = self._rank_state.unit_bounds(task)
        together = len(bounds) > 1 and self._begin is None and self._rank_state.can_group
        if together and version != self._version:
            self._pace = Pace(_CALL_S, _MOST)
            self._version = version

        done = 0
        singly_until = 0  # units up to here are done one by one, since one of them raised
        while done < len(bounds):
            size = self._pace.size if together and done >= singly_until else 1
            current = bounds[done : done + size]
            if self._begin is not None:
                self._begin(current[0] if kind == Kind.EVALUATE else None)

            began = time.perf_counter()
            failures = _NONE
            try:
                with self._stop.abandonable():
                    if len(current) == 1:
                        payloads = [self._rank_state.execute(kind, *current[0])]
                    else:
                        payloads = self._rank_state.evaluate_units(current)
            except MembersFailed as failed:
                if len(current) > 1:
                    singly_until = done + len(current)
                    continue
                payloads = [pack_chunk(failed.records, failed.arrays, self._rank_state.specs)]
                failures = failed.failures

            seconds = time.perf_counter() - began
            if together:
                self._pace.learn(len(current), seconds)
            units = range(first + done, first + done + len(current))
            done += len(current)
            yield Outcome(units, payloads, failures, seconds, len(bounds) - done)
