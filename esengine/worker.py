"""The worker's end of the pool: do tasks and, on the rank that leads a node, lay out what the master publishes."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from esengine import guard, messages
from esengine.deadline import Deadline
from esengine.desk import Desk, Kind
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.faults import FaultRules, MembersFailed, describe_exception
from esengine.interrupts import Abandoned, StopRequest
from esengine.messages import Task
from esengine.node_memory import unpack
from esengine.world import Backoff, World, place_in_tree

if TYPE_CHECKING:
    from mpi4py import MPI

_START_S = 30.0  # that the first unit may take beyond --member-timeout, since it makes the environment
_IDLE_S = 10.0  # seconds without a look at the messages after which a worker with a --member-timeout counts as hung


def serve(world: World, desk: Desk, stop: StopRequest | None = None, rules: FaultRules | None = None) -> None:
    """The worker's end: do tasks until the master says stop."""
    Worker(world, desk, StopRequest() if stop is None else stop, FaultRules() if rules is None else rules).serve()


class Worker:
    """A rank that does tasks.

    Args:
        world: the ranks.
        desk: does the tasks.
        stop: cuts a task short.
        rules: how long a member may take.
    """

    def __init__(self, world: World, desk: Desk, stop: StopRequest, rules: FaultRules) -> None:
        assert world.mail is not None
        self._world, self._mail, self._desk, self._stop = world, world.mail, desk, stop
        self._publisher = Publisher(world, desk)
        self._waiting: deque[Task] = deque()  # tasks on a publication that the node's dead leader took with it
        self._idle = False  # a stop request or an exception ended this worker's work; it waits for the master's stop
        self._clock = None if rules.member_timeout is None else Clock(rules.member_timeout, desk)

    def serve(self) -> None:
        """Do tasks until the master says stop."""
        guard.mark_serving()
        mail, stop, backoff = self._mail, self._stop, Backoff()
        self._join()
        while True:
            if stop.is_final:
                self._world.end = "exit"
                raise Interrupted(stop.received)
            body = mail.poll()
            if body is None:
                if mail.lost:
                    self._mourn()
                if self._clock is not None:
                    self._clock.tick()
                backoff.pause()
                continue
            backoff.reset()
            if mail.tag == messages.STOP_TAG:
                break
            self._handle(mail.tag, body)
        if self._clock is not None:
            self._clock.stop()
        self._world.bereaved |= messages.decode_stop(body)
        self._publisher.finish()
        answer = messages.send_stop(mail, 0, self._world.bereaved)
        while not mail.sent(answer):
            backoff.pause()

    def _join(self) -> None:
        """Tell the master what it must know to replace the ranks of this node."""
        assert self._desk.memory is not None
        if self._world.node_rank == 0:
            messages.send_leading(self._mail, self._desk.memory.address)
        elif self._world.is_replacement:
            messages.send_ready(self._mail, 0)

    def _mourn(self) -> None:
        """Other workers' deaths are the master's business; without the master there is nothing left to do."""
        if 0 in self._mail.lost:
            self._world.die()
        self._mail.lost.clear()
        self._world.bereaved = True

    def _handle(self, tag: int, body: bytearray) -> None:
        match tag:
            case messages.TASK_TAG if not self._idle:
                task = messages.decode_task(body)
                if self._waiting or not self._do(task):
                    self._waiting.append(task)
            case messages.PUBLISH_TAG:
                if self._clock is not None:
                    self._clock.stop()
                self._idle |= not self._publisher.publish(body)
                self._resume()
            case messages.LEAD_TAG:
                assert self._desk.memory is not None
                self._desk.memory.lead()
                messages.send_leading(self._mail, self._desk.memory.address)
            case messages.FOLLOW_TAG:
                assert self._desk.memory is not None
                try:
                    self._desk.memory.follow(body.decode())
                except OSError:
                    return  # that leader has died as well; the master will name another
                self._resume()

    def _resume(self) -> None:
        """Go on with the tasks whose publication was not to be found."""
        while self._waiting and not self._idle and self._do(self._waiting[0]):
            self._waiting.popleft()

    def _do(self, task: Task) -> bool:
        """Do one task and answer it; False if its publication is not to be found, since the node's leader has died."""
        try:
            self._desk.load(task.version)
        except (KeyError, OSError):
            if not self._world.tolerant:
                raise
            return False
        if self._clock is not None:
            self._clock.begin(task)
        began = time.perf_counter()
        try:
            with self._stop.abandonable():
                payload = self._desk.execute(task)
        except Abandoned:
            self._idle = True
        except MembersFailed as failed:
            for failure in failed.failures:
                failure["host"] = self._world.host
            payload = failed.records.tobytes() + failed.statistics.tobytes()
            messages.send_failure(self._mail, task, time.perf_counter() - began, payload, failed.failures)
        except (Exception, SystemExit) as error:
            messages.send_error(self._mail, {"host": self._world.host, "text": _report(error)})
            self._idle = True
        else:
            messages.send_result(self._mail, task, time.perf_counter() - began, payload)
        return True


class Clock:
    """Has the kernel kill this worker when a member takes too long, or when the worker stands still."""

    def __init__(self, member_timeout: float, desk: Desk) -> None:
        self._timeout, self._desk, self._deadline = member_timeout, desk, Deadline()
        self._start_s, self._ticked = _START_S, 0.0

    def begin(self, task: Task) -> None:
        """A task begins; a sum may take as long as it takes."""
        self._ticked = 0.0
        if task.kind != Kind.EVALUATE:
            self._deadline.move(0)
            return
        self._deadline.move(self._start_s + self._timeout * self._desk.members_worth(task.start, task.stop))
        self._start_s = 0.0

    def tick(self) -> None:
        """The worker looks for messages."""
        now = time.monotonic()
        if now - self._ticked > _IDLE_S / 8:
            self._ticked = now
            self._deadline.move(_IDLE_S)

    def stop(self) -> None:
        """Something begins that may take as long as it takes."""
        self._ticked = 0.0
        self._deadline.move(0)


class Publisher:
    """A leader's part in publishing: pass a publication on to its children in the tree, lay it out, tell the master.

    Args:
        world: the ranks; others than leaders are never sent a publication.
        desk: lays publications out.
    """

    def __init__(self, world: World, desk: Desk) -> None:
        assert world.mail is not None
        self._world, self._mail, self._desk = world, world.mail, desk
        self._requests: list[MPI.Request | None] = []

    def publish(self, body: bytearray) -> bool:
        """Pass on and lay out; False if that failed, of which the master is told."""
        self.finish()
        try:
            version, leaders, image = messages.decode_publication(body)
            _, children = place_in_tree(leaders, self._world.rank)
            self._requests = [messages.send_publication(self._mail, child, body) for child in children]
            self._desk.publish(version, *unpack(image))
        except Exception as error:
            messages.send_error(self._mail, {"host": self._world.host, "text": _report(error)})
            return False
        messages.send_ready(self._mail, version)
        return True

    def finish(self) -> None:
        """Wait until the children have received what was passed on; past the master's patience the ranks are aborted."""
        backoff = Backoff()
        while not all([self._mail.sent(request) for request in self._requests]):
            backoff.pause()
        self._requests = []


def _report(error: BaseException) -> str:
    return str(error) if isinstance(error, WorkerError | UserError) else describe_exception(error)
