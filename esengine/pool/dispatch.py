"""Assigning units of work to the workers until all are done, in spite of failures and deaths.

Several lists of units may be open at once; a free worker takes units of the oldest one that has
some. `worklist` decides how many units it gets at once. A worker answers its units in order, so the
units that it holds are known exactly. If it dies over a range, the unit that caused it is unknown,
and the units of the range are assigned again one by one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from esengine.errors import Interrupted, WorkerError
from esengine.pool.fault_rules import MOST_DEATHS, FaultRules
from esengine.pool.rank_state import Kind
from esengine.pool.work import Work
from esengine.pool.workers import Workers
from esengine.pool.worklist import IN_FLIGHT, WorkList, unfinished
from esengine.problems import failed_records
from esengine.problems.failures import Failure
from esengine.ranks import StopRequest, mailbox, messages
from esengine.ranks.backoff import Backoff
from esengine.ranks.messages import Results, Task


class Dispatch:
    """The dispatch of open lists of units to the workers.

    Results are stored by unit, so the order of their arrival does not matter.

    Args:
        workers: the workers.
        stop: the request to stop, checked between messages.
        rules: how often a unit is tried.
    """

    def __init__(self, workers: Workers, stop: StopRequest, rules: FaultRules) -> None:
        self._workers = workers
        self._stop = stop
        self._rules = rules
        self._open: list[Work] = []  # the first one's units go first
        # What each worker has not answered yet
        self._held: dict[int, deque[tuple[Work, range]]] = {}
        self._since: dict[int, float] = {}  # when it began the first one, with --member-timeout
        self._backoff = Backoff()

    def submit(self, work: Work, first: bool = False) -> None:
        """Open a list of units, and assign the first ones.

        Args:
            work: the list.
            first: whether its units come before those of all other lists.
        """
        singly = work.kind != Kind.EVALUATE or self._rules.member_timeout is not None
        num_workers = len(self._workers.ranks)
        work.todo = WorkList(unfinished(len(work.bounds), work.finished), num_workers, singly)
        if first:
            self._open.insert(0, work)
        else:
            self._open.append(work)

        for worker in self._workers.ranks:
            self._held.setdefault(worker, deque())
        for count in range(IN_FLIGHT):
            for worker, queue in self._held.items():
                if len(queue) <= count:
                    self._feed(worker)

    def finish(self, work: Work) -> None:
        """Do all units of a list, and others while it waits.

        Raises:
            Interrupted: a signal asked to stop, or no worker is left.
            WorkerError: too many members failed, or an exception came from elsewhere.
        """
        self.wait([work])
        self.withdraw(work)
        if work.error is not None:
            raise work.error

    def wait(self, works: Sequence[Work]) -> None:
        """Do units until one of some lists is over. Raises as `finish` does."""
        self._backoff.reset()
        while not any(work.is_over for work in works):
            if self._stop.received is not None:
                raise Interrupted(self._stop.received)
            self.step()

    def withdraw(self, work: Work) -> None:
        """Close a list. Results that still arrive have no effect."""
        if work in self._open:
            self._open.remove(work)

    def step(self) -> None:
        """Take one message, or wait a moment.

        Raises:
            Interrupted: no worker is left.
            WorkerError: a worker reports an exception that no member raised.
        """
        body = self._workers.mail.poll()
        if body is not None:
            self._backoff.reset()
            self.take_message(body)
        elif self._workers.mail.lost:
            self.take_dead()
        elif not self._workers.can_go_on:
            raise Interrupted("the death of the last worker")
        elif not self._sum_here():
            self._backoff.pause()

    def take_message(self, body: bytearray) -> None:
        """Take the message that was polled last. Raises WorkerError for a reported exception."""
        mail = self._workers.mail
        worker = mail.source
        if worker not in self._held or mail.tag not in (mailbox.RESULT_TAG, mailbox.FAILURE_TAG):
            self._workers.handle(body)
            self._add_new_workers()
        elif mail.tag == mailbox.RESULT_TAG:
            self._take(worker, messages.decode_results(body))
        else:
            results, failures = messages.decode_failure(body)
            self._take(worker, results, failures)

    def take_dead(self) -> list[int]:
        """Take back the units that dead workers held, and return these workers. Each was working on
        its first range.
        """
        dead = self._workers.take_dead()
        for worker in dead:
            queue = self._held.pop(worker, None)
            if not queue:
                continue

            work, first = queue.popleft()
            for later, units in reversed(queue):
                later.todo.take_back(units)

            if len(first) == 1:
                self._count_death(work, first.start, worker)
            else:
                for unit in reversed(first):
                    work.todo.take_back(range(unit, unit + 1))

        self._add_new_workers()
        return dead

    def _take(self, worker: int, results: Results, failures: list[Failure] | None = None) -> None:
        """Take a worker's results of the first units that it holds."""
        version, first, num_returned, seconds, payloads = results
        queue = self._held[worker]
        work, units = queue[0]
        done = len(payloads)
        assert (version, first) == (work.version, units.start)
        if failures is None:
            work.finished.update(zip(units, payloads, strict=False))

        left = units[done : len(units) - num_returned]
        returned = units[len(units) - num_returned :]
        if left:
            queue[0] = work, left
        else:
            queue.popleft()

        work.busy_s += seconds
        work.todo.learn(done, seconds)
        work.todo.take_back(returned)
        if failures is not None:
            self._fail(work, worker, first, payloads[0], failures)

        if self._rules.member_timeout is not None:
            self._since[worker] = time.monotonic()

        if not left:
            self._feed(worker)

        if returned:
            self._feed_idle()

    def _feed(self, worker: int) -> None:
        """Assign a worker its next units, if there are any for it."""
        queue = self._held[worker]
        for work in self._open:
            if not len(work.todo):
                continue
            refused = None
            if work.avoid and len(self._held) > 1:  # another worker can try what failed on this one
                refused = partial(_failed_on, work, worker)

            waits = work.kind != Kind.EVALUATE and len(self._open) > 1  # not behind a long member
            units = None if waits and queue else work.todo.deal(not queue, refused)
            if units is not None:
                self._assign(worker, work, units)
                return
            if queue:
                return  # the last units are for workers that have nothing to do

    def _assign(self, worker: int, work: Work, units: range) -> None:
        queue = self._held[worker]
        if not queue and self._rules.member_timeout is not None:
            self._since[worker] = time.monotonic()

        queue.append((work, units))
        task = Task.of_units(work.version, work.kind, units, work.bounds)
        messages.send_task(self._workers.mail, worker, task)

    def _sum_here(self) -> bool:
        """Do a unit of a sum on the master while the workers evaluate something else; returns
        whether there was one.
        """
        if len(self._open) < 2:
            return False
        work = self._open[0]
        if work.kind == Kind.EVALUATE:
            return False
        units = work.todo.deal(True)
        if units is None:
            return False
        for unit in units:
            work.finished[unit] = work.rank_state.execute(work.kind, *work.bounds[unit])
        return True

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

    def _fail(
        self, work: Work, worker: int, unit: int, payload: bytes, failures: list[Failure]
    ) -> None:
        """Try a unit whose members raised exceptions on another worker, or count them as failed."""
        work.tries[unit] += 1
        if work.tries[unit] <= self._rules.member_retries:
            work.avoid[unit] = worker
            work.todo.take_back(range(unit, unit + 1))
            self._feed_idle()
            return

        work.finished[unit] = payload
        self._give_up(work, [{**failure, "rank": worker} for failure in failures])

    def _give_up(self, work: Work, failures: list[Failure]) -> None:
        """Count members as failed, unless the list was closed before."""
        if work in self._open:
            work.fail(failures)
            if work.error is not None:
                self.withdraw(work)

    def _count_death(self, work: Work, unit: int, worker: int) -> None:
        """Try a unit again during which a worker died, or count its members as failed."""
        timed_out = self._timed_out(work, unit, worker)
        if timed_out:
            work.tries[unit] += 1
        else:
            work.deaths[unit] += 1
        if work.tries[unit] <= self._rules.member_retries and work.deaths[unit] < MOST_DEATHS:
            work.todo.take_back(range(unit, unit + 1))
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
        if work.kind != Kind.EVALUATE:
            raise WorkerError(f"a sum over the members cannot be computed: {reason}")

        start, stop = work.bounds[unit]
        work.finished[unit] = failed_records(start, stop).tobytes()
        record = {
            **work.rank_state.address_of_evaluation(work.version),
            "error": reason,
            "rank": worker,
            "host": self._workers.host_of(worker),
        }
        self._give_up(work, [{**record, "member": member} for member in range(start, stop)])

    def _timed_out(self, work: Work, unit: int, worker: int) -> bool:
        """Whether a dead worker was killed by its own deadline."""
        timeout = self._rules.member_timeout
        if timeout is None or work.kind != Kind.EVALUATE or worker not in self._since:
            return False

        bounds = work.bounds[unit]
        allowed = timeout * work.rank_state.members_at_once(*bounds, version=work.version)
        return time.monotonic() - self._since[worker] >= 0.95 * allowed


def _failed_on(work: Work, worker: int, units: range) -> bool:
    return work.avoid.get(units.start) == worker
