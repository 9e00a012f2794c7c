"""Doing tasks at a rank_state: units one by one, or several quick ones by one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from esengine.pool.rank_state import Kind, RankState
from esengine.pool.worklist import Pace
from esengine.problems.chunk_arrays import pack_chunk
from esengine.problems.failures import Failure, MembersFailed
from esengine.ranks.messages import Task
from esengine.ranks.signals import StopRequest

_CALL_S, _MOST = 2e-3, 256  # seconds and units of one call, whose members' rows are made at once
_NONE: list[Failure] = []


class Outcome(NamedTuple):
    """What came of one call.

    Attributes:
        units: that were done.
        payloads: the result of each.
        failures: members that raised; then it is a single unit.
        seconds: that it took.
        num_left: units of the task that are still to be done.
    """

    units: range
    payloads: list[bytes]
    failures: list[Failure]
    seconds: float
    num_left: int


class TaskRunner:
    """Does tasks, and remembers how many units of an evaluation are worth one call.

    Args:
        rank_state: has what they refer to.
        stop: cuts a call short.
        begin: called with the members of a unit of evaluation before it is done, and None before
            another; units are then done singly.
    """

    def __init__(
        self,
        rank_state: RankState,
        stop: StopRequest,
        begin: Callable[[tuple[int, int] | None], None] | None = None,
    ) -> None:
        self._rank_state, self._stop, self._begin = rank_state, stop, begin
        self._pace, self._version = Pace(_CALL_S, _MOST), -1

    def run(self, task: Task) -> Iterator[Outcome]:
        """Do a task's units in order.

        Raises:
            Abandoned: a signal asked to stop.
        """
        version, kind, first, *_ = task
        bounds = self._rank_state.unit_bounds(task)
        together = len(bounds) > 1 and self._begin is None and self._rank_state.can_group
        if together and version != self._version:
            self._pace, self._version = Pace(_CALL_S, _MOST), version
        done = known = 0  # units; those up to `known` are done singly, since one of them raised
        while done < len(bounds):
            own = (
                bounds[done : done + self._pace.size]
                if together and done >= known
                else bounds[done : done + 1]
            )
            if self._begin is not None:
                self._begin(own[0] if kind == Kind.EVALUATE else None)
            began, failures = time.perf_counter(), _NONE
            try:
                with self._stop.abandonable():
                    payloads = (
                        [self._rank_state.execute(kind, *own[0])]
                        if len(own) == 1
                        else self._rank_state.evaluate_units(own)
                    )
            except MembersFailed as failed:
                if len(own) > 1:
                    known = done + len(own)
                    continue
                payloads = [pack_chunk(failed.records, failed.arrays, self._rank_state.specs)]
                failures = failed.failures
            seconds = time.perf_counter() - began
            if together:
                self._pace.learn(len(own), seconds)
            units = range(first + done, first + done + len(own))
            done += len(own)
            yield Outcome(units, payloads, failures, seconds, len(bounds) - done)
