"""Assigning a list of units to the workers until all units are done, in spite of failures and
deaths.

`worklist` decides how many units a worker gets at once. A worker answers its units in order, so the
units that it holds are known exactly. If it dies over a range, the unit that caused it is unknown,
and the units of the range are assigned again one by one.
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
from esengine.problems.failures import Failure, cause_of, failure_words
from esengine.ranks import StopRequest, mailbox, messages
from esengine.ranks.backoff import Backoff
from esengine.ranks.messages import Results, Task


class Failures:
    """The members of one work list that raised an exception or ended their workers.

    Args:
        most: members that may fail; one more ends the run.
        rules: the pool's.
        report: called with members as soon as they have finally failed.

    Attributes:
        records: of the failed members, in the order in which they failed.
    """

    def __init__(
        self, most: float, rules: FaultRules, report: Callable[[list[Failure]], None]
    ) -> None:
        self._most = most
        self._rules = rules
        self._report = report
        self.records: list[Failure] = []

    def add(self, failures: list[Failure]) -> None:
        """Count members as failed.

        Raises:
            WorkerError: too many members failed.
        """
        self.records += failures
        self._report(failures)
        if len(self.records) > self._most:
            raise WorkerError(
                f"{len(self.records)} members of generation {failures[0]['generation']} failed, "
                f"more than --max-failed-fraction {self._rules.max_failed_fraction:g} allows; "
                f"the first of them: {failure_words(self.records[0])}"
            ) from cause_of(self.records)


class Dispatch:
    """The dispatch of one work list to the workers.

    Results are stored by unit, so the order of their arrival does not matter.

    Args:
        workers: the workers.
        rank_state: the master's.
        stop: the request to stop, checked between messages.
        rules: how often a unit is tried.
        failures: collects the failed members.
    """

    def __init__(
        self,
        workers: Workers,
        rank_state: RankState,
        stop: StopRequest,
        rules: FaultRules,
        failures: Failures,
    ) -> None:
        self._workers = workers
        self._rank_state = rank_state
        self._stop = stop
        self._rules = rules
        self._failures = failures
        self._held: dict[int, deque[range]] = {}  # units that each worker has not answered yet
        self._since: dict[int, float] = {}  # when it began the first one, with --member-timeout
        self._tries: Counter[int] = Counter()  # failures of each unit
        self._deaths: Counter[int] = Counter()  # workers that died during each unit
        self._avoid: dict[int, int] = {}  # the worker on which a unit failed

    def run(
        self, version: int, kind: Kind, bounds: list[tuple[int, int]], finished: dict[int, bytes]
    ) -> float:
        """Do all units that are not ``finished``, and add their results to it.

        Returns:
            The seconds that workers were busy.

        Raises:
            Interrupted: a signal asked to stop, or no worker is left.
            WorkerError: too many members failed, or an exception came from elsewhere.
        """
        self._version = version
        self._kind = kind
        self._bounds = bounds
        self._finished = finished
        singly = kind != Kind.EVALUATE or self._rules.member_timeout is not None
        self._todo = WorkList(unfinished(len(bounds), finished), len(self._workers.ranks), singly)
        self._held = {worker: deque() for worker in self._workers.ranks}

        for _ in range(IN_FLIGHT):
            for worker in self._held:
                self._feed(worker)

        mail = self._workers.mail
        held = self._held
        stop = self._stop
        backoff = Backoff()
        busy_s = 0.0
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
                self._add_new_workers()
            elif mail.tag == mailbox.RESULT_TAG:
                busy_s += self._take(worker, messages.decode_results(body))
            else:
                results, failures = messages.decode_failure(body)
                busy_s += self._take(worker, results, failures)

        return busy_s

    def _take(self, worker: int, results: Results, failures: list[Failure] | None = None) -> float:
        """Take a worker's results of the first units that it holds, and return the seconds that it
        was busy.
        """
        version, first, num_returned, seconds, payloads = results
        queue = self._held[worker]
        units = queue[0]
        done = len(payloads)
        assert (version, first) == (self._version, units.start)
        if failures is None:
            self._finished.update(zip(units, payloads, strict=False))

        left = units[done : len(units) - num_returned]
        returned = units[len(units) - num_returned :]
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
        """Handle dead workers, or pause, when no message has arrived."""
        if self._workers.mail.lost:
            self._take_back_from_dead()
        elif not self._workers.can_go_on:
            raise Interrupted("the death of the last worker")
        else:
            backoff.pause()

    def _feed(self, worker: int) -> None:
        """Assign a worker its next units, if there are any for it."""
        queue = self._held[worker]
        refused = None
        if self._avoid and len(self._held) > 1:  # another worker can try what failed on this one
            refused = partial(self._failed_on, worker)

        units = self._todo.deal(not queue, refused)
        if units is None:
            return

        if not queue and self._rules.member_timeout is not None:
            self._since[worker] = time.monotonic()

        queue.append(units)
        task = Task.of_units(self._version, self._kind, units, self._bounds)
        messages.send_task(self._workers.mail, worker, task)

    def _failed_on(self, worker: int, units: range) -> bool:
        return self._avoid.get(units.start) == worker

    def _feed_idle(self) -> None:
        for worker, queue in self._held.items():
            if not queue:
                self._feed(worker)

    def _add_new_workers(self) -> None:
        """Assign units to replacements that have arrived."""
        for worker in self._workers.ranks:
            if worker not in self._held:
                self._held[worker] = deque()
        self._feed_idle()

    def _fail(self, worker: int, unit: int, payload: bytes, failures: list[Failure]) -> None:
        """Try a unit whose members raised exceptions on another worker, or count them as failed."""
        self._tries[unit] += 1
        if self._tries[unit] <= self._rules.member_retries:
            self._avoid[unit] = worker
            self._todo.take_back(range(unit, unit + 1))
            self._feed_idle()
            return

        self._finished[unit] = payload
        self._failures.add([{**failure, "rank": worker} for failure in failures])

    def _take_back_from_dead(self) -> None:
        """Take back the units that dead workers held. Each was working on its first range."""
        for worker in self._workers.take_dead():
            queue = self._held.pop(worker, None)
            if not queue:
                continue

            first = queue.popleft()
            for units in reversed(queue):
                self._todo.take_back(units)

            if len(first) == 1:
                self._count_death(first.start, worker)
            else:
                for unit in reversed(first):
                    self._todo.take_back(range(unit, unit + 1))

        self._add_new_workers()

    def _count_death(self, unit: int, worker: int) -> None:
        """Try a unit again during which a worker died, or count its members as failed."""
        timed_out = self._timed_out(unit, worker)
        if timed_out:
            self._tries[unit] += 1
        else:
            self._deaths[unit] += 1
        if self._tries[unit] <= self._rules.member_retries and self._deaths[unit] < MOST_DEATHS:
            self._todo.take_back(range(unit, unit + 1))
            return

        if timed_out:
            reason = (
                f"its worker was killed, since it took longer than --member-timeout "
                f"{self._rules.member_timeout:g} s"
            )
        else:
            reason = (
                f"{MOST_DEATHS} workers died while they evaluated it; the last of them: rank "
                f"{worker}"
            )
        if self._kind != Kind.EVALUATE:
            raise WorkerError(f"a sum over the members cannot be computed: {reason}")

        start, stop = self._bounds[unit]
        self._finished[unit] = failed_records(start, stop).tobytes()
        record = {
            **self._rank_state.address_of_evaluation(),
            "error": reason,
            "rank": worker,
            "host": self._workers.host_of(worker),
        }
        self._failures.add([{**record, "member": member} for member in range(start, stop)])

    def _timed_out(self, unit: int, worker: int) -> bool:
        """Whether a dead worker was killed by its own deadline."""
        timeout = self._rules.member_timeout
        if timeout is None or self._kind != Kind.EVALUATE or worker not in self._since:
            return False

        allowed = timeout * self._rank_state.members_at_once(*self._bounds[unit])
        return time.monotonic() - self._since[worker] >= 0.95 * allowed
