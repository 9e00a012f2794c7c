"""The worker's end of the pool: do tasks and, on the rank that leads a node, lay out what the master publishes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from esengine import messages
from esengine.desk import Desk
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.interrupts import Abandoned, StopRequest
from esengine.messages import Mailbox, Task
from esengine.node_memory import unpack
from esengine.world import Backoff, World

if TYPE_CHECKING:
    from mpi4py import MPI


def serve(world: World, desk: Desk, stop: StopRequest | None = None) -> None:
    """The worker's end: do tasks until the master says stop."""
    assert world.comm is not None
    mail, backoff = Mailbox(world.comm), Backoff()
    stop = StopRequest() if stop is None else stop
    publisher = Publisher(world, mail, desk)
    idle = False  # a stop request or an exception ended this worker's work; it waits for the master's stop
    while True:
        if stop.is_final:
            world.end = "exit"
            raise Interrupted(stop.received)
        body = mail.poll()
        if body is None:
            backoff.pause()
            continue
        backoff.reset()
        match mail.tag:
            case messages.TASK_TAG if not idle:
                idle = not _work(mail, world.host, desk, messages.decode_task(body), stop)
            case messages.PUBLISH_TAG:
                idle = not publisher.publish(body) or idle
            case messages.READY_TAG:
                publisher.count_ready()
            case messages.STOP_TAG:
                publisher.finish()
                messages.send_stop(mail, 0).Wait()
                return


class Publisher:
    """A leader's part in publishing: pass a publication on to its children, lay it out, tell its parent when all have it.

    Args:
        world: the ranks; others than leaders are never sent a publication.
        mail: the leader's.
        desk: lays publications out.
    """

    def __init__(self, world: World, mail: Mailbox, desk: Desk) -> None:
        self._world, self._mail, self._desk = world, mail, desk
        self._requests: list[MPI.Request] = []
        self._missing = 0  # nodes among this one and its children's trees that do not have it yet

    def publish(self, body: bytearray) -> bool:
        """Pass on and lay out; False if that failed, of which the master is told."""
        self.finish()
        self._requests = [messages.send_publication(self._mail, child, body) for child in self._world.children]
        self._missing = 1 + len(self._requests)
        try:
            version, image = messages.decode_publication(body)
            self._desk.publish(version, *unpack(image))
        except Exception as error:
            messages.send_error(self._mail, {"host": self._world.host, "text": _report(error)})
            return False
        self.count_ready()
        return True

    def count_ready(self) -> None:
        """This node, or a child with all below it, has the publication."""
        self._missing -= 1
        if self._missing == 0:
            messages.send_ready(self._mail, self._world.parent)

    def finish(self) -> None:
        """Wait until the children have received what was passed on; past the master's patience the ranks are aborted."""
        backoff = Backoff()
        while not all(request.Test() for request in self._requests):
            backoff.pause()
        self._requests = []


def _work(mail: Mailbox, host: str, desk: Desk, task: Task, stop: StopRequest) -> bool:
    """Do one task and answer it; False if it was abandoned or failed."""
    began = time.perf_counter()
    try:
        with stop.abandonable():
            desk.load(task.version)
            payload = desk.execute(task)
    except Abandoned:
        return False
    except (Exception, SystemExit) as error:
        messages.send_error(mail, {"host": host, "text": _report(error)})
        return False
    messages.send_result(mail, task, time.perf_counter() - began, payload)
    return True


def _report(error: BaseException) -> str:
    if isinstance(error, WorkerError | UserError):
        return str(error)
    import traceback

    return "".join(traceback.format_exception(error))
