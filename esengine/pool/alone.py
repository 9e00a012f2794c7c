"""Doing units of work in this process, which has no workers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from esengine.errors import Interrupted
from esengine.pool.fault_rules import FaultRules
from esengine.pool.task_runner import TaskRunner
from esengine.pool.work import Work
from esengine.pool.worklist import unfinished
from esengine.ranks import StopRequest
from esengine.ranks.messages import Task
from esengine.ranks.signals import Abandoned
from esengine.user_code import limits_kept


class Alone:
    """What `Dispatch` is with workers: lists of units are done when their results are needed.

    Args:
        stop: the request to stop, checked between units.
        rules: how often a unit is tried.
        host: the name of this machine.
    """

    def __init__(self, stop: StopRequest, rules: FaultRules, host: str) -> None:
        self._stop = stop
        self._rules = rules
        self._host = host

    def submit(self, work: Work, first: bool = False) -> None:
        """Take note of a list of units; its `finish` does them."""

    def withdraw(self, work: Work) -> None:
        """Forget a list of units."""

    def finish(self, work: Work) -> None:
        """Do all units of a list.

        Raises:
            Interrupted: a signal asked to stop.
            WorkerError: too many members failed.
        """
        self.wait([work])
        if work.error is not None:
            raise work.error

    def wait(self, works: Sequence[Work]) -> None:
        """Do all units of the list that was opened first, unless one of the lists is over already.
        Raises Interrupted.
        """
        if not any(work.is_over for work in works):
            self.do(min(works, key=lambda work: work.version))

    def do(self, work: Work) -> None:
        """Do all units of a list; too many failed members are its `error`. Raises Interrupted."""
        began = time.monotonic()
        try:
            with limits_kept(), work.rank_state.at(work.version):
                self._do(work)
        except Abandoned:
            raise Interrupted(self._stop.received) from None

        work.busy_s = time.monotonic() - began

    def _do(self, work: Work) -> None:
        runner = TaskRunner(work.rank_state, self._stop)
        for units in unfinished(len(work.bounds), work.finished):
            task = Task.of_units(work.version, work.kind, units, work.bounds)
            for outcome in runner.run(task):
                again = self._rules.member_retries
                while outcome.failures and again:
                    again -= 1
                    one = Task.of_units(work.version, work.kind, outcome.units, work.bounds)
                    (outcome,) = runner.run(one)

                work.finished.update(zip(outcome.units, outcome.payloads, strict=True))
                if outcome.failures:
                    here = {"rank": 0, "host": self._host}
                    work.fail([{**failure, **here} for failure in outcome.failures])
                if work.error is not None:
                    return
                if outcome.num_left and self._stop:
                    raise Interrupted(self._stop.received)
