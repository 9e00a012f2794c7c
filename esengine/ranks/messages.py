"""The messages between master and workers, both ends of each side by side.

| message | from, to | body |
|---|---|---|
| task | master, worker | one `Task`: which units of which publication |
| result | worker, master | `Results` of the next units, and how many units are returned undone |
| failure | worker, master | `Results` of one unit, and the exceptions that its members raised |
| publish | master, node leaders | version, the tree of leaders, a bundle (`node_memory.pack`) |
| ready | node leader, master | version: the ranks of the node may map the publication |
| lead | master, worker | nothing: lead this node, whose leader died |
| leading | worker, master | where the other ranks of the node find its shared files |
| follow | master, worker | where the shared files of the new leader are |
| stop | master, worker, and back | whether a rank has died, so that MPI cannot be finalised |
| value | master, worker | a value of `World` outside collective calls, see `values` |
| begun | worker, master | seconds that its first unit took, with --member-timeout |
| error | worker, master | the text of an exception |

All messages are point to point. A matched probe lets every body have its own length. None is
pickled.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from esengine.ranks.mailbox import (
    BEGUN_TAG,
    ERROR_TAG,
    FAILURE_TAG,
    FOLLOW_TAG,
    LEAD_TAG,
    LEADING_TAG,
    PUBLISH_TAG,
    READY_TAG,
    RESULT_TAG,
    STOP_TAG,
    TASK_TAG,
    Mailbox,
    Request,
)

FANOUT = 4
"""The number of leaders that one leader forwards a publication to."""
_TASK = struct.Struct("<5q")
_RESULTS = struct.Struct("<4qd")
_VERSION = struct.Struct("<q")
_LENGTH = struct.Struct("<q")
_SECONDS = struct.Struct("<d")
_PUBLICATION = struct.Struct("<qq")


class Task(NamedTuple):
    """One unit of work on published state, or neighbouring units to do one after the other.

    Attributes:
        version: of the publication that it refers to.
        kind: what to do, see `rank_state.Kind`.
        unit: index of the first unit in the work list. Results are merged in this order.
        start, stop: members of the units, or coordinates of the one unit of a sum.
    """

    version: int
    kind: int
    unit: int
    start: int
    stop: int

    @classmethod
    def of_units(
        cls, version: int, kind: int, units: range, bounds: Sequence[tuple[int, int]]
    ) -> Task:
        """The task of neighbouring units of a work list with these ``bounds``."""
        return cls(version, kind, units.start, bounds[units[0]][0], bounds[units[-1]][1])


class Results(NamedTuple):
    """The results of some units of a task.

    Attributes:
        version: of the task.
        unit: index of the first unit.
        num_returned: units at the end of the task that the worker returns undone, since the task
            takes longer than expected.
        seconds: time that the work took.
        payloads: bytes of each unit.
    """

    version: int
    unit: int
    num_returned: int
    seconds: float
    payloads: list[bytes]


def send_task(mail: Mailbox, worker: int, task: Task) -> None:
    mail.send(_TASK.pack(*task), worker, TASK_TAG)


def decode_task(body: bytearray) -> Task:
    return Task._make(_TASK.unpack(body))


def _encode_results(results: Results) -> bytes:
    version, unit, num_returned, seconds, payloads = results
    count = len(payloads)
    header = _RESULTS.pack(version, unit, num_returned, count, seconds)
    lengths = struct.pack(f"<{count}q", *map(len, payloads))
    return b"".join((header, lengths, *payloads))


def send_results(mail: Mailbox, results: Results) -> None:
    mail.send(_encode_results(results), 0, RESULT_TAG)


def decode_results(body: bytearray) -> Results:
    version, unit, num_returned, count, seconds = _RESULTS.unpack_from(body)
    image = memoryview(body)
    place = _RESULTS.size + 8 * count
    payloads = []

    for length in struct.unpack_from(f"<{count}q", body, _RESULTS.size):
        payloads.append(bytes(image[place : place + length]))
        place += length

    return Results(version, unit, num_returned, seconds, payloads)


def send_failure(mail: Mailbox, results: Results, failures: list[dict[str, Any]]) -> None:
    text = json.dumps(failures).encode()
    mail.send(_LENGTH.pack(len(text)) + text + _encode_results(results), 0, FAILURE_TAG)


def decode_failure(body: bytearray) -> tuple[Results, list[dict[str, Any]]]:
    """The results of one unit, and the exceptions that its members raised."""
    (length,) = _LENGTH.unpack_from(body)
    end = _LENGTH.size + length
    return decode_results(body[end:]), json.loads(body[_LENGTH.size : end])


def place_in_tree(leaders: list[int], rank: int) -> tuple[int, list[int]]:
    """The parent and the children of a leader. The first leader is the root; a rank that leads no
    node has no children.
    """
    if rank not in leaders:
        return 0, []
    index = leaders.index(rank)
    first = FANOUT * index + 1
    return leaders[max(0, index - 1) // FANOUT], leaders[first : first + FANOUT]


def encode_publication(version: int, leaders: Sequence[int], image: bytes) -> bytes:
    """The body of a publication for the tree of ``leaders``, see `place_in_tree`."""
    return _PUBLICATION.pack(version, len(leaders)) + np.array(leaders, "<i8").tobytes() + image


def send_publication(mail: Mailbox, leader: int, body: bytes | bytearray) -> Request | None:
    """Send a publication. The caller keeps the body unchanged until the request is done."""
    return mail.begin_send(body, leader, PUBLISH_TAG)


def decode_publication(body: bytearray) -> tuple[int, list[int], memoryview]:
    """The version, the tree of leaders, and the packed bundle."""
    version, count = _PUBLICATION.unpack_from(body)
    leaders = np.frombuffer(body, "<i8", count, _PUBLICATION.size)
    end = _PUBLICATION.size + 8 * count
    return version, leaders.tolist(), memoryview(body)[end:]


def send_ready(mail: Mailbox, version: int) -> None:
    """Answer a publication: the ranks of this leader's node may map it now."""
    mail.send(_VERSION.pack(version), 0, READY_TAG)


def decode_ready(body: bytearray) -> int:
    return int(_VERSION.unpack(body)[0])


def send_lead(mail: Mailbox, worker: int) -> None:
    mail.send(b"", worker, LEAD_TAG)


def send_leading(mail: Mailbox, address: str) -> None:
    mail.send(address.encode(), 0, LEADING_TAG)


def send_follow(mail: Mailbox, worker: int, address: str) -> None:
    mail.send(address.encode(), worker, FOLLOW_TAG)


def send_begun(mail: Mailbox, seconds: float) -> None:
    mail.send(_SECONDS.pack(seconds), 0, BEGUN_TAG)


def decode_begun(body: bytearray) -> float:
    """The seconds that a worker's first unit took."""
    return float(_SECONDS.unpack(body)[0])


def send_stop(mail: Mailbox, rank: int, rank_died: bool) -> Request | None:
    return mail.begin_send(b"\1" if rank_died else b"\0", rank, STOP_TAG)


def decode_stop(body: bytearray) -> bool:
    """Whether a rank has died."""
    return body == b"\1"


def send_error(mail: Mailbox, details: dict[str, Any]) -> None:
    mail.send(json.dumps(details).encode(), 0, ERROR_TAG)


def decode_error(body: bytearray) -> dict[str, Any]:
    details: dict[str, Any] = json.loads(body)
    return details
