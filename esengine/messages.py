"""The messages between master and workers, both ends of each side by side.

| message | from, to | body |
|---|---|---|
| task | master, worker | one `Task`: which unit, or neighbouring units, of which published work |
| result | worker, master | `Results` of the task's next units, and how many of its last ones are handed back undone |
| failure | worker, master | the same, of one unit some of whose members raised, and what they raised |
| publish | master, node leaders along their tree | version, the tree, and a packed bundle, see `node_memory.pack` |
| ready | node leader, master | version: the ranks of its node may map what was published |
| lead | master, worker | nothing: lead this node, whose leader died |
| leading | worker, master | where the other ranks of its node find its shared files |
| follow | master, worker | where its new leader's shared files are |
| stop | master, worker, and back | whether a rank has died, so that MPI cannot be finalised |
| told | master, worker | a pickled value of `World`, where a collective call cannot be made; empty as a greeting |
| begun | worker, master | seconds that its first unit took, where there is a --member-timeout |
| error | worker, master | the text of an exception |

All are point to point; a probe with a match lets every body have its own length. Only `told` is pickled.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from mpi4py import MPI

TASK_TAG, RESULT_TAG, PUBLISH_TAG, STOP_TAG, ERROR_TAG, READY_TAG, FAILURE_TAG = range(1, 8)
LEAD_TAG, LEADING_TAG, FOLLOW_TAG, TOLD_TAG, BEGUN_TAG = range(8, 13)

_GREETING_S = 10.0
_EAGER_BYTES = 2048  # up to which MPI takes a body without asking the other end

_TASK = struct.Struct("<5q")
_RESULTS = struct.Struct("<4qd")
_VERSION, _LENGTH, _SECONDS = struct.Struct("<q"), struct.Struct("<q"), struct.Struct("<d")
_PUBLICATION = struct.Struct("<qq")


class Task(NamedTuple):
    """One unit of work on published state, or neighbouring units to be done one after the other.

    Attributes:
        version: of the published bundle that it refers to.
        kind: what to do, see `desk.Kind`.
        unit: index of the first in the work list, which is the order that results are merged in.
        start, stop: members of the units, or coordinates of the one unit of a sum.
    """

    version: int
    kind: int
    unit: int
    start: int
    stop: int

    @classmethod
    def of_units(cls, version: int, kind: int, units: range, bounds: Sequence[tuple[int, int]]) -> Task:
        """The task of neighbouring units of a work list, whose members or coordinates are ``bounds``."""
        return cls(version, kind, units.start, bounds[units[0]][0], bounds[units[-1]][1])


class Results(NamedTuple):
    """Some units of a task are done.

    Attributes:
        version: as the task's.
        unit: index of the first.
        num_returned: units at the end of the task that the worker hands back undone, since they take longer than expected.
        seconds: of work.
        payloads: bytes of each unit.
    """

    version: int
    unit: int
    num_returned: int
    seconds: float
    payloads: list[bytes]


class Mailbox:
    """A rank's end of all conversations.

    Where the launch is fault tolerant, a rank that died is found in `lost` after the `poll` or the sending that noticed; what
    is sent to it is dropped.

    Attributes:
        comm: the ranks of the launch, or the link to the master of a rank that replaces one.
        source, tag: of the message that `poll` returned last.
        lost: ranks whose death was noticed, until somebody takes them out.
        num_sent: messages sent so far, by tag.
    """

    def __init__(self, comm: MPI.Comm, tolerant: bool = False) -> None:
        from mpi4py import MPI

        self.comm, self.source, self.tag = comm, -1, -1
        self.lost: list[int] = []
        self.num_sent = [0] * (BEGUN_TAG + 1)
        self._status, self._byte = MPI.Status(), MPI.BYTE
        self._any_source, self._any_tag = MPI.ANY_SOURCE, MPI.ANY_TAG
        self._match, self._send = comm.Improbe, comm.Send
        self._links: dict[int, MPI.Comm] = {}
        self._dead: set[int] = set()
        self._sending: list[tuple[MPI.Request, bytes]] = []  # with what is being sent
        self._failure: type[Exception] | tuple[()] = MPI.Exception if tolerant else ()

    def connect(self, rank: int, link: MPI.Comm) -> bool:
        """From now on ``rank`` is the process at the other end of ``link``; False if it dies before it has sent its greeting.

        Only who has once been heard is known to be dead when it dies.
        """
        deadline = time.monotonic() + _GREETING_S
        while time.monotonic() < deadline:
            try:
                if (message := link.Improbe(0, TOLD_TAG)) is not None:
                    message.Recv(bytearray())
                    self._links[rank] = link
                    return True
            except self._failure:
                break
            time.sleep(1e-4)
        self.lost.append(rank)
        return False

    def poll(self) -> bytearray | None:
        """The next message's body if one is here; else None, at once."""
        try:
            body = self._receive()
        except self._failure:
            self._find_dead()
            try:
                body = self._receive()  # what the dead sent before they died comes first
            except self._failure:
                body = None  # more have died since; the next poll tells
        if body is None and self._links:
            return self._poll_links()
        return body

    def _receive(self) -> bytearray | None:
        status = self._status
        message = self._match(self._any_source, self._any_tag, status)
        if message is None:
            return None
        body = bytearray(status.Get_count(self._byte))
        message.Recv(body)
        self.source, self.tag = status.source, status.tag
        return body

    def send(self, body: bytes, rank: int, tag: int) -> None:
        """Send a body; it may be forgotten at once."""
        self.num_sent[tag] += 1
        try:
            if rank in self._links or len(body) > _EAGER_BYTES:
                self._send_later(body, rank, tag)
            else:
                self._send(body, rank, tag)
        except self._failure:
            self._lose(rank)

    def begin_send(self, body: bytes | bytearray, rank: int, tag: int) -> MPI.Request | None:
        """Send without waiting; the body must be kept until the request is `sent`. None if the other end is dead."""
        self.num_sent[tag] += 1
        try:
            if rank in self._links:
                return self._links[rank].Isend(body, 0, tag)
            return self.comm.Isend(body, rank, tag)
        except self._failure:
            self._lose(rank)
            return None

    def sent(self, request: MPI.Request | None) -> bool:
        """Whether a request of `begin_send` is done, be it because the other end has died."""
        if request is None:
            return True
        try:
            return request.Test()
        except self._failure:
            return True  # the next poll tells who died

    def _send_later(self, body: bytes, rank: int, tag: int) -> None:
        """A sending that does not wait: for a large body the other end may be slow, or never have been connected."""
        self._sending = [item for item in self._sending if not self.sent(item[0])]
        link = self._links.get(rank)
        self._sending.append((self.comm.Isend(body, rank, tag) if link is None else link.Isend(body, 0, tag), body))

    def _poll_links(self) -> bytearray | None:
        for rank, link in list(self._links.items()):
            try:
                message = link.Improbe(0, self._any_tag, self._status)
                if message is not None:
                    body = bytearray(self._status.Get_count(self._byte))
                    message.Recv(body)
                    self.source, self.tag = rank, self._status.tag
                    return body
            except self._failure:
                self._lose(rank)
        return None

    def _find_dead(self) -> None:
        """Note who died, and let receiving go on without them."""
        comm = self.comm
        if comm.is_inter:  # a replacement's only other end
            self._lose(0)
            return
        from mpi4py import MPI

        failed = comm.Get_failed()
        for rank in MPI.Group.Translate_ranks(failed, list(range(failed.size)), comm.group):
            self._lose(rank)
        comm.Ack_failed(failed.size)

    def _lose(self, rank: int) -> None:
        if rank not in self._dead:
            self._dead.add(rank)
            self._links.pop(rank, None)
            self.lost.append(rank)


def send_task(mail: Mailbox, worker: int, task: Task) -> None:
    mail.send(_TASK.pack(*task), worker, TASK_TAG)


def decode_task(body: bytearray) -> Task:
    return Task._make(_TASK.unpack(body))


def _encode_results(results: Results) -> bytes:
    version, unit, num_returned, seconds, payloads = results
    count = len(payloads)
    header = _RESULTS.pack(version, unit, num_returned, count, seconds)
    return b"".join((header, struct.pack(f"<{count}q", *map(len, payloads)), *payloads))


def send_results(mail: Mailbox, results: Results) -> None:
    mail.send(_encode_results(results), 0, RESULT_TAG)


def decode_results(body: bytearray) -> Results:
    version, unit, num_returned, count, seconds = _RESULTS.unpack_from(body)
    place, payloads = _RESULTS.size + 8 * count, []
    image = bytes(body)
    for length in struct.unpack_from(f"<{count}q", image, _RESULTS.size):
        payloads.append(image[place : place + length])
        place += length
    return Results(version, unit, num_returned, seconds, payloads)


def send_failure(mail: Mailbox, results: Results, failures: list[dict[str, Any]]) -> None:
    text = json.dumps(failures).encode()
    mail.send(_LENGTH.pack(len(text)) + text + _encode_results(results), 0, FAILURE_TAG)


def decode_failure(body: bytearray) -> tuple[Results, list[dict[str, Any]]]:
    """As `decode_results`, of one unit, and what was raised."""
    (length,) = _LENGTH.unpack_from(body)
    end = _LENGTH.size + length
    return decode_results(body[end:]), json.loads(body[_LENGTH.size : end])


def encode_publication(version: int, leaders: Sequence[int], image: bytes) -> bytes:
    """A publication that travels along the tree of ``leaders``, see `world.place_in_tree`."""
    return _PUBLICATION.pack(version, len(leaders)) + np.array(leaders, "<i8").tobytes() + image


def send_publication(mail: Mailbox, leader: int, body: bytes | bytearray) -> MPI.Request | None:
    """Pass a publication on; the body must stay as it is until the request is done."""
    return mail.begin_send(body, leader, PUBLISH_TAG)


def decode_publication(body: bytearray) -> tuple[int, list[int], memoryview]:
    """Version, the tree of leaders, and the packed bundle."""
    version, count = _PUBLICATION.unpack_from(body)
    end = _PUBLICATION.size + 8 * count
    return version, np.frombuffer(body, "<i8", count, _PUBLICATION.size).tolist(), memoryview(body)[end:]


def send_ready(mail: Mailbox, version: int) -> None:
    """A leader's answer to a publication: the ranks of its node may map it now."""
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
    """Seconds that a worker's first unit took."""
    return float(_SECONDS.unpack(body)[0])


def send_stop(mail: Mailbox, rank: int, bereaved: bool) -> MPI.Request | None:
    return mail.begin_send(b"\1" if bereaved else b"\0", rank, STOP_TAG)


def decode_stop(body: bytearray) -> bool:
    """Whether a rank has died."""
    return body == b"\1"


def send_error(mail: Mailbox, details: dict[str, Any]) -> None:
    mail.send(json.dumps(details).encode(), 0, ERROR_TAG)


def decode_error(body: bytearray) -> dict[str, Any]:
    details: dict[str, Any] = json.loads(body)
    return details
