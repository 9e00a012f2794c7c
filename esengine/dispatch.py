"""Handing a list of units out to the workers until all of them are done, whoever fails or dies meanwhile."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

from esengine import messages
from esengine.crew import Crew
from esengine.desk import Desk, Kind
from esengine.errors import Interrupted, WorkerError
from esengine.faults import MOST_DEATHS, Failure, FaultRules, failure_words
from esengine.interrupts import StopRequest
from esengine.problems import failed_records
from esengine.world import Backoff

IN_FLIGHT = 2  # units a worker holds, so that it never waits for the master's answer


class Failures:
    """The members of one work list that raised or ended their workers.

    Args:
        most: members that may fail; one more ends the run.
        rules: as the pool's.
        tell: called with members that are given up, as soon as they are.

    Attributes:
        records: in the order in which they were given up.
    """

    def __init__(self, most: float, rules: FaultRules, tell: Callable[[list[Failure]], None]) -> None:
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
                f"{len(self.records)} members of generation {failures[0]['generation']} failed, more than "
                f"--max-failed-fraction {self._rules.max_failed_fraction:g} allows; the first of them: "
                f"{failure_words(self.records[0])}"
            )


class Dispatch:
    """One work list on its way through the workers. Results are kept by unit, so their order of arrival does not matter.

    Args:
        crew: the workers.
        desk: the master's.
        stop: asked between messages whether to stop.
        rules: how often a unit is tried.
        failures: where members that are given up are counted.
    """

    def __init__(self, crew: Crew, desk: Desk, stop: StopRequest, rules: FaultRules, failures: Failures) -> None:
        self._crew, self._desk, self._stop, self._rules, self._failures = crew, desk, stop, rules, failures
        self._held: dict[int, deque[int]] = {}
        self._since: dict[int, float] = {}  # when each worker began what it does, where there is a --member-timeout
        self._tries: Counter[int] = Counter()  # failures of each unit
        self._deaths: Counter[int] = Counter()  # workers that died over each unit
        self._avoid: dict[int, int] = {}  # the worker that a unit failed on

    def run(self, version: int, kind: Kind, bounds: list[tuple[int, int]], finished: dict[int, bytes]) -> float:
        """Have all units done that are not ``finished``, and add them there; returns the seconds that workers were busy.

        Raises:
            Interrupted: a signal asked to stop, or nobody is left to work.
            WorkerError: too many members failed, or something else than a member.
        """
        self._kind, self._bounds, self._finished = kind, bounds, finished
        self._tasks = messages.encode_tasks(version, kind, bounds)
        self._todo = deque(unit for unit in range(len(bounds)) if unit not in finished)
        self._deal()
        mail, held, last, timed = self._crew.mail, self._held, self._last, self._rules.member_timeout is not None
        busy_s, backoff, stop = 0.0, Backoff(), self._stop
        while len(finished) < len(self._tasks):
            if stop.received is not None:
                raise Interrupted(stop.received)
            body = mail.poll()
            if body is None:
                self._wait(backoff)
                continue
            backoff.reset()
            worker = mail.source
            queue = held.get(worker)
            if queue is None or mail.tag not in (messages.RESULT_TAG, messages.FAILURE_TAG):
                self._crew.handle(body)
                self._greet()
                continue
            unit = queue.popleft()
            if mail.tag == messages.RESULT_TAG:
                answered, of, seconds, payload = messages.decode_result(body)
                finished[unit] = payload
            else:
                answered, of, seconds, payload, failures = messages.decode_failure(body)
                self._fail(worker, unit, payload, failures)
            assert (answered, of) == (version, unit)
            busy_s += seconds
            if timed:
                self._since[worker] = time.monotonic()
            if self._todo and (len(self._todo) > last or not queue):
                self._feed(worker, queue)
        return busy_s

    def _deal(self) -> None:
        """Give every worker its first units."""
        self._held = {worker: deque() for worker in self._crew.workers}
        self._last = IN_FLIGHT * len(self._held)
        for depth in range(IN_FLIGHT):
            for worker, queue in self._held.items():
                if depth == 0 or len(self._todo) > self._last:
                    self._feed(worker, queue)

    def _wait(self, backoff: Backoff) -> None:
        """Nothing has come: see to the dead, or rest."""
        if self._crew.mail.lost:
            self._bury()
        elif not self._crew.can_go_on:
            raise Interrupted("the death of the last worker")
        else:
            backoff.pause()

    def _feed(self, worker: int, queue: deque[int]) -> None:
        """Give a worker its next unit, if there is one for it."""
        if not self._todo:
            return
        unit = self._todo.popleft()
        if self._avoid and len(self._held) > 1 and self._avoid.get(unit) == worker:
            self._todo.appendleft(unit)
            others = [other for other in self._todo if self._avoid.get(other) != worker]
            if not others:
                return  # another worker will be free
            unit = others[0]
            self._todo.remove(unit)
        if not queue and self._rules.member_timeout is not None:
            self._since[worker] = time.monotonic()
        queue.append(unit)
        messages.send_task(self._crew.mail, worker, self._tasks[unit])

    def _feed_idle(self) -> None:
        for worker, queue in self._held.items():
            if not queue:
                self._feed(worker, queue)

    def _greet(self) -> None:
        """Give replacements that have arrived something to do."""
        for worker in self._crew.workers:
            if worker not in self._held:
                self._held[worker] = deque()
        self._feed_idle()

    def _fail(self, worker: int, unit: int, payload: bytes, failures: list[Failure]) -> None:
        """A unit's members raised: try it again elsewhere, or count them as failed."""
        self._tries[unit] += 1
        if self._tries[unit] <= self._rules.member_retries:
            self._avoid[unit] = worker
            self._todo.appendleft(unit)
            self._feed_idle()
            return
        self._finished[unit] = payload
        self._failures.give_up([{**failure, "rank": worker} for failure in failures])

    def _bury(self) -> None:
        """Take back what dead workers held; the first unit is what such a worker was at."""
        for worker in self._crew.bury():
            queue = self._held.pop(worker, None)
            if queue:
                self._todo.extendleft(reversed(list(queue)[1:]))
                self._blame(queue[0], worker)
        self._greet()

    def _blame(self, unit: int, worker: int) -> None:
        reason = self._overrun(unit, worker)
        if reason is not None:
            self._tries[unit] += 1
        else:
            self._deaths[unit] += 1
        if self._tries[unit] <= self._rules.member_retries and self._deaths[unit] < MOST_DEATHS:
            self._todo.appendleft(unit)
            return
        reason = reason or f"{MOST_DEATHS} workers died while they evaluated it; the last of them: rank {worker}"
        start, stop = self._bounds[unit]
        if self._kind != Kind.EVALUATE:
            raise WorkerError(f"a sum over the members cannot be computed: {reason}")
        self._finished[unit] = failed_records(start, stop).tobytes()
        address = self._desk.address_of_evaluation()
        self._failures.give_up(
            [{**address, "member": member, "error": reason, "rank": worker} for member in range(start, stop)]
        )

    def _overrun(self, unit: int, worker: int) -> str | None:
        """Whether a dead worker was killed by its own deadline, in words."""
        if self._rules.member_timeout is None or self._kind != Kind.EVALUATE or worker not in self._since:
            return None
        allowed = self._rules.member_timeout * self._desk.members_worth(*self._bounds[unit])
        if time.monotonic() - self._since[worker] < 0.95 * allowed:
            return None
        return f"its worker was killed, since it took longer than --member-timeout {self._rules.member_timeout:g} s"
