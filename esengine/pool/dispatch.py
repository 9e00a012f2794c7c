"""Handing a list of units out to the workers until all of them are done, whoever fails or dies
meanwhile.

How many go to a worker at once is the `worklist`'s business. A worker answers its units in order,
so what it holds is known to the unit; but which unit of a range a worker died over is not, and then
its units are dealt again one by one, without blame.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

from esengine.errors import Interrupted, WorkerError
from esengine.pool.fault_rules import MOST_DEATHS, FaultRules
from esengine.pool.rank_state import Kind, RankState
from esengine.pool.workers import Workers
from esengine.pool.worklist import IN_FLIGHT, WorkList, unfinished
from esengine.problems import failed_records
from esengine.problems.failures import Failure, failure_words
from esengine.ranks import mailbox, messages
from esengine.ranks.messages import Results, Task
from esengine.ranks.signals import StopRequest
from esengine.ranks.world import Backoff


class Failures:
    """The members of one work list that raised or ended their workers.

    Args:
        most: members that may fail; one more ends the run.
        rules: as the pool's.
        tell: called with members that are given up, as soon as they are.

    Attributes:
        records: in the order in which they were given up.
    """

    def __init__(
        self, most: float, rules: FaultRules, tell: Callable[[list[Failure]], None]
    ) -> None:
        self._most, self._rules, self._tell = most, rules, tell
        self.records: list[Failure] = []

    def give_up(self, failures: list[Failure]) -> None:
        """Count members as failed.

        Raises:
            WorkerError: they are too many.
        """
        self.records += failures
        self._tell(failures)
        if len(self.records) > self._most:
            raise WorkerError(
                f"{len(self.records)} members of generation {failures[0]['generation']} failed, "
                f"more than "
                f"--max-failed-fraction {self._rules.max_failed_fraction:g} allows; the first of "
                f"them: "
                f"{failure_words(self.records[0])}"
            )


class Dispatch:
    """One work list on its way through the workers. Results are kept by unit, so their order of
    arrival does not matter.

    Args:
        workers: the workers.
        rank_state: the master's.
        stop: asked between messages whether to stop.
        rules: how often a unit is tried.
        failures: where members that are given up are counted.
    """

    def __init__(
        self,
        workers: Workers,
        rank_state: RankState,
        stop: StopRequest,
        rules: FaultRules,
        failures: Failures,
    ) -> None:
        self._workers, self._rank_state, self._stop, self._rules, self._failures = (
            workers,
            rank_state,
            stop,
            rules,
            failures,
        )
        self._held: dict[
            int, deque[range]
        ] = {}  # units that each worker has been given and has not answered
        self._since: dict[
            int, float
        ] = {}  # when each worker began what it does, where there is a --member-timeout
        self._tries: Counter[int] = Counter()  # failures of each unit
        self._deaths: Counter[int] = Counter()  # workers that died over each unit
        self._avoid: dict[int, int] = {}  # the worker that a unit failed on

    def run(
        self, version: int, kind: Kind, bounds: list[tuple[int, int]], finished: dict[int, bytes]
    ) -> float:
        """Have all units done that are not ``finished``, and add them there; returns the seconds
        that workers were busy.

        Raises:
            Interrupted: a signal asked to stop, or nobody is left to work.
            WorkerError: too many members failed, or something else than a member.
        """
        self._version, self._kind, self._bounds, self._finished = version, kind, bounds, finished
        singly = kind != Kind.EVALUATE or self._rules.member_timeout is not None
        self._todo = WorkList(unfinished(len(bounds), finished), len(self._workers.ranks), singly)
        self._held = {worker: deque() for worker in self._workers.ranks}
        for _ in range(IN_FLIGHT):
            for worker in self._held:
                self._feed(worker)
        mail, held, busy_s, backoff, stop = (
            self._workers.mail,
            self._held,
            0.0,
            Backoff(),
            self._stop,
        )
        while len(finished) < len(bounds):
            if stop.received is not None:
                raise Interrupted(stop.received)
            body = mail.poll()
            if body is None:
                self._wait(backoff)
                continue
            backoff.reset()
            worker = mail.source
            if worker not in held or mail.tag not in (mailbox.RESULT_TAG, mailbox.FAILURE_TAG):
                self._workers.handle(body)
                self._greet()
            elif mail.tag == mailbox.RESULT_TAG:
                busy_s += self._take(worker, messages.decode_results(body))
            else:
                results, failures = messages.decode_failure(body)
                busy_s += self._take(worker, results, failures)
        return busy_s

    def _take(self, worker: int, results: Results, failures: list[Failure] | None = None) -> float:
        """What a worker answers of the units that it has held longest; returns the seconds that it
        was busy.
        """
        version, first, num_returned, seconds, payloads = results
        queue = self._held[worker]
        units = queue[0]
        done = len(payloads)
        assert (version, first) == (self._version, units.start)
        if failures is None:
            self._finished.update(zip(units, payloads, strict=False))
        left, returned = units[done : len(units) - num_returned], units[len(units) - num_returned :]
        if left:
            queue[0] = left
        else:
            queue.popleft()
        self._todo.learn(done, seconds)
        self._todo.take_back(returned)
        if failures is not None:
            self._fail(worker, first, payloads[0], failures)
        if self._rules.member_timeout is not None:
            self._since[worker] = time.monotonic()
        if not left:
            self._feed(worker)
        if returned:
            self._feed_idle()
        return seconds

    def _wait(self, backoff: Backoff) -> None:
        """Nothing has come: see to the dead, or rest."""
        if self._workers.mail.lost:
            self._bury()
        elif not self._workers.can_go_on:
            raise Interrupted("the death of the last worker")
        else:
            backoff.pause()

    def _feed(self, worker: int) -> None:
        """Give a worker its next units, if there are some for it."""
        queue = self._held[worker]
        others = self._avoid and len(self._held) > 1  # who can try again what failed here
        units = self._todo.deal(not queue, partial(self._failed_on, worker) if others else None)
        if units is None:
            return
        if not queue and self._rules.member_timeout is not None:
            self._since[worker] = time.monotonic()
        queue.append(units)
        messages.send_task(
            self._workers.mail,
            worker,
            Task.of_units(self._version, self._kind, units, self._bounds),
        )

    def _failed_on(self, worker: int, units: range) -> bool:
        return self._avoid.get(units.start) == worker

    def _feed_idle(self) -> None:
        for worker, queue in self._held.items():
            if not queue:
                self._feed(worker)

    def _greet(self) -> None:
        """Give replacements that have arrived something to do."""
        for worker in self._workers.ranks:
            if worker not in self._held:
                self._held[worker] = deque()
        self._feed_idle()

    def _fail(self, worker: int, unit: int, payload: bytes, failures: list[Failure]) -> None:
        """A unit's members raised: try it again elsewhere, or count them as failed."""
        self._tries[unit] += 1
        if self._tries[unit] <= self._rules.member_retries:
            self._avoid[unit] = worker
            self._todo.take_back(range(unit, unit + 1))
            self._feed_idle()
            return
        self._finished[unit] = payload
        self._failures.give_up([{**failure, "rank": worker} for failure in failures])

    def _bury(self) -> None:
        """Take back what dead workers held; the first units are what such a worker was at."""
        for worker in self._workers.take_dead():
            queue = self._held.pop(worker, None)
            if not queue:
                continue
            at = queue.popleft()
            for units in reversed(queue):
                self._todo.take_back(units)
            if len(at) == 1:
                self._blame(at.start, worker)
            else:
                for unit in reversed(at):
                    self._todo.take_back(range(unit, unit + 1))
        self._greet()

    def _blame(self, unit: int, worker: int) -> None:
        reason = self._overrun(unit, worker)
        if reason is not None:
            self._tries[unit] += 1
        else:
            self._deaths[unit] += 1
        if self._tries[unit] <= self._rules.member_retries and self._deaths[unit] < MOST_DEATHS:
            self._todo.take_back(range(unit, unit + 1))
            return
        reason = (
            reason
            or f"{MOST_DEATHS} workers died while they evaluated it; the last of them: rank "
            f"{worker}"
        )
        start, stop = self._bounds[unit]
        if self._kind != Kind.EVALUATE:
            raise WorkerError(f"a sum over the members cannot be computed: {reason}")
        self._finished[unit] = failed_records(start, stop).tobytes()
        address = self._rank_state.address_of_evaluation()
        self._failures.give_up(
            [
                {**address, "member": member, "error": reason, "rank": worker}
                for member in range(start, stop)
            ]
        )

    def _overrun(self, unit: int, worker: int) -> str | None:
        """Whether a dead worker was killed by its own deadline, in words."""
        if (
            self._rules.member_timeout is None
            or self._kind != Kind.EVALUATE
            or worker not in self._since
        ):
            return None
        allowed = self._rules.member_timeout * self._rank_state.members_worth(*self._bounds[unit])
        if time.monotonic() - self._since[worker] < 0.95 * allowed:
            return None
        return (
            f"its worker was killed, since it took longer than --member-timeout "
            f"{self._rules.member_timeout:g} s"
        )
