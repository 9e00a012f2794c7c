"""The messages between master and workers, both ends of each side by side.

| message | from, to | body |
|---|---|---|
| task | master, worker | one `Task`: which unit of which published work |
| result | worker, master | version, unit, seconds of work, and the unit's bytes |
| publish | node leader, its children in the tree of leaders | version and a packed bundle, see `node_memory.pack` |
| ready | node leader, its parent there | nothing: the ranks of all nodes below may map what was published |
| stop | master, worker | nothing |
| error | worker, master | the text of an exception |

All are point to point; a probe with a match lets every body have its own length. Nothing is pickled.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mpi4py import MPI

TASK_TAG, RESULT_TAG, PUBLISH_TAG, STOP_TAG, ERROR_TAG, READY_TAG = range(1, 7)

_TASK = struct.Struct("<5q")
_RESULT = struct.Struct("<qqd")
_VERSION = struct.Struct("<q")


class Task(NamedTuple):
    """One unit of work on published state.

    Attributes:
        version: of the published bundle that it refers to.
        kind: what to do, see `desk.Kind`.
        unit: index in the work list, which is the order that results are merged in.
        start, stop: members, or coordinates, of the unit.
    """

    version: int
    kind: int
    unit: int
    start: int
    stop: int


class Mailbox:
    """A rank's end of all conversations.

    Attributes:
        comm: the ranks.
        source, tag: of the message that `poll` returned last.
        num_sent: messages sent so far, by tag.
    """

    def __init__(self, comm: MPI.Comm) -> None:
        from mpi4py import MPI

        self.comm, self.source, self.tag = comm, -1, -1
        self.num_sent = [0] * (READY_TAG + 1)
        self._status, self._byte = MPI.Status(), MPI.BYTE
        self._any_source, self._any_tag = MPI.ANY_SOURCE, MPI.ANY_TAG
        self._match, self._send = comm.Improbe, comm.Send

    def poll(self, source: int | None = None) -> bytearray | None:
        """The next message's body if one is here, from ``source`` or from anybody; else None, at once."""
        status = self._status
        message = self._match(self._any_source if source is None else source, self._any_tag, status)
        if message is None:
            return None
        body = bytearray(status.Get_count(self._byte))
        message.Recv(body)
        self.source, self.tag = status.source, status.tag
        return body

    def send(self, body: bytes, rank: int, tag: int) -> None:
        """Send a body; returns when it may be forgotten, which for a large one is when the other end has it."""
        self.num_sent[tag] += 1
        self._send(body, rank, tag)

    def begin_send(self, body: bytes | bytearray, rank: int, tag: int) -> MPI.Request:
        """Send without waiting; the body must be kept until the request is done."""
        self.num_sent[tag] += 1
        return self.comm.Isend(body, rank, tag)


def encode_tasks(version: int, kind: int, bounds: Sequence[tuple[int, int]]) -> list[bytes]:
    """The messages of a work list; a `Task`'s unit is its index."""
    fields = np.empty((len(bounds), 5), "<i8")
    fields[:, 0], fields[:, 1], fields[:, 2] = version, kind, np.arange(len(bounds))
    fields[:, 3:] = bounds
    image, size = fields.tobytes(), _TASK.size
    return [image[start : start + size] for start in range(0, len(image), size)]


def send_task(mail: Mailbox, worker: int, body: bytes) -> None:
    mail.send(body, worker, TASK_TAG)


def decode_task(body: bytearray) -> Task:
    return Task._make(_TASK.unpack(body))


def send_result(mail: Mailbox, task: Task, busy_s: float, payload: bytes) -> None:
    version, _, unit, _, _ = task
    mail.send(_RESULT.pack(version, unit, busy_s) + payload, 0, RESULT_TAG)


def decode_result(body: bytearray) -> tuple[int, int, float, bytes]:
    """Version and unit of the task, seconds of work, the unit's bytes."""
    version, unit, busy_s = _RESULT.unpack_from(body)
    return version, unit, busy_s, bytes(body[_RESULT.size :])


def encode_publication(version: int, image: bytes) -> bytes:
    return _VERSION.pack(version) + image


def send_publication(mail: Mailbox, leader: int, body: bytes | bytearray) -> MPI.Request:
    """Pass a publication on; the body must stay as it is until the request is done."""
    return mail.begin_send(body, leader, PUBLISH_TAG)


def decode_publication(body: bytearray) -> tuple[int, memoryview]:
    return _VERSION.unpack_from(body)[0], memoryview(body)[_VERSION.size :]


def send_ready(mail: Mailbox, parent: int) -> None:
    """A leader's answer to a publication: its node's ranks, and those of the nodes below it, may map it now."""
    mail.send(b"", parent, READY_TAG)


def send_stop(mail: Mailbox, worker: int) -> MPI.Request:
    return mail.begin_send(b"", worker, STOP_TAG)


def send_error(mail: Mailbox, details: dict[str, Any]) -> None:
    mail.send(json.dumps(details).encode(), 0, ERROR_TAG)


def decode_error(body: bytearray) -> dict[str, Any]:
    details: dict[str, Any] = json.loads(body)
    return details
