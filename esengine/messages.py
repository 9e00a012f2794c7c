"""The messages between master and workers, both ends of each side by side.

| message | from, to | body |
|---|---|---|
| task | master, worker | one `TASK` record: which unit of which published work |
| result | worker, master | one `RESULT` record and the unit's bytes |
| publish | master, node leader | version and a packed bundle, see `node_memory.pack` |
| ready | node leader, master | nothing: the node's ranks may map what was published |
| stop | master, worker | nothing |
| error | worker, master | the text of an exception |

All are point to point; a probe with a match lets every body have its own length. Nothing is pickled.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mpi4py import MPI

TASK_TAG, RESULT_TAG, PUBLISH_TAG, STOP_TAG, ERROR_TAG, READY_TAG = range(1, 7)

TASK = np.dtype([("version", "<i8"), ("kind", "<i8"), ("unit", "<i8"), ("start", "<i8"), ("stop", "<i8")])
RESULT = np.dtype([("version", "<i8"), ("unit", "<i8"), ("busy_s", "<f8")])


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


class Result(NamedTuple):
    """A unit's answer; ``worker`` sent it after ``busy_s`` seconds of work."""

    version: int
    unit: int
    busy_s: float
    payload: bytes
    worker: int


def send_task(comm: MPI.Comm, worker: int, task: Task) -> None:
    comm.Send(np.array([tuple(task)], TASK).view(np.uint8), worker, TASK_TAG)


def decode_task(body: NDArray[np.uint8]) -> Task:
    return Task(*(int(value) for value in body.view(TASK)[0]))


def send_result(comm: MPI.Comm, task: Task, busy_s: float, payload: bytes) -> None:
    head = np.array([(task.version, task.unit, busy_s)], RESULT).tobytes()
    comm.Send(np.frombuffer(head + payload, np.uint8), 0, RESULT_TAG)


def decode_result(body: NDArray[np.uint8], worker: int) -> Result:
    version, unit, busy_s = body[: RESULT.itemsize].view(RESULT)[0]
    return Result(int(version), int(unit), float(busy_s), body[RESULT.itemsize :].tobytes(), worker)


def send_publication(comm: MPI.Comm, leader: int, version: int, image: bytes) -> None:
    head = np.array([version], "<i8").tobytes()
    comm.Send(np.frombuffer(head + image, np.uint8), leader, PUBLISH_TAG)


def decode_publication(body: NDArray[np.uint8]) -> tuple[int, memoryview]:
    return int(body[:8].view("<i8")[0]), memoryview(body[8:])  # type: ignore[arg-type]


def send_ready(comm: MPI.Comm) -> None:
    """A leader's answer to a publication: its node's ranks may map it now."""
    comm.Send(np.empty(0, np.uint8), 0, READY_TAG)


def send_stop(comm: MPI.Comm, worker: int) -> MPI.Request:
    return comm.Isend(np.empty(0, np.uint8), worker, STOP_TAG)


def send_error(comm: MPI.Comm, details: dict[str, Any]) -> None:
    comm.Send(np.frombuffer(json.dumps(details).encode(), np.uint8), 0, ERROR_TAG)


def decode_error(body: NDArray[np.uint8]) -> dict[str, Any]:
    details: dict[str, Any] = json.loads(body.tobytes())
    return details


def poll(comm: MPI.Comm, source: int, status: MPI.Status) -> NDArray[np.uint8] | None:
    """The next message's body if one is here, with its tag and source in ``status``; else None, at once."""
    from mpi4py import MPI

    message = comm.Improbe(source, MPI.ANY_TAG, status)
    if message is None:
        return None
    body = np.empty(status.Get_count(MPI.BYTE), np.uint8)
    message.Recv(body, status)
    return body
