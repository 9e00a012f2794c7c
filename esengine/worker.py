"""The worker's end of the pool: do tasks and, on the rank that leads a node, lay out what the master publishes."""

from __future__ import annotations

import time

from esengine import messages
from esengine.desk import Desk
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.interrupts import Abandoned, StopRequest
from esengine.messages import Mailbox, Task
from esengine.node_memory import unpack
from esengine.world import Backoff, World


def serve(world: World, desk: Desk, stop: StopRequest | None = None) -> None:
    """The worker's end: do tasks until the master says stop."""
    assert world.comm is not None
    mail, backoff = Mailbox(world.comm), Backoff()
    stop = StopRequest() if stop is None else stop
    idle = False  # a stop request or an exception ended this worker's work; it waits for the master's stop
    while True:
        if stop.is_final:
            world.end = "exit"
            raise Interrupted(stop.received)
        body = mail.poll(0)
        if body is None:
            backoff.pause()
            continue
        backoff.reset()
        match mail.tag:
            case messages.STOP_TAG:
                messages.send_stop(mail, 0).Wait()
                return
            case messages.PUBLISH_TAG if not idle:
                idle = not _lay_out(mail, world.host, desk, body)
            case messages.TASK_TAG if not idle:
                idle = not _work(mail, world.host, desk, messages.decode_task(body), stop)


def _lay_out(mail: Mailbox, host: str, desk: Desk, body: bytearray) -> bool:
    """A leader's part in publishing; False if it failed, of which the master is told."""
    try:
        version, image = messages.decode_publication(body)
        desk.publish(version, *unpack(image))
    except Exception as error:
        messages.send_error(mail, {"host": host, "text": _report(error)})
        return False
    messages.send_ready(mail)
    return True


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
