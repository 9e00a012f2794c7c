"""Point-to-point messages between master and workers, sent and polled without blocking."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi4py import MPI

TASK_TAG, RESULT_TAG, PUBLISH_TAG, STOP_TAG, ERROR_TAG, READY_TAG, FAILURE_TAG = range(1, 8)
LEAD_TAG, LEADING_TAG, FOLLOW_TAG, TOLD_TAG, BEGUN_TAG = range(8, 13)

_GREETING_S = 10.0
_EAGER_BYTES = 2048  # up to which MPI takes a body without asking the other end


class Mailbox:
    """A rank's end of all conversations.

    Where the launch is fault tolerant, a rank that died is found in `lost` after the `poll` or the
    sending that noticed; what is sent to it is dropped.

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
        """From now on ``rank`` is the process at the other end of ``link``; False if it dies before
        it has sent its greeting.

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
        """Send without waiting; the body must be kept until the request is `sent`. None if the
        other end is dead.
        """
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
        """A sending that does not wait: for a large body the other end may be slow, or never have
        been connected.
        """
        self._sending = [item for item in self._sending if not self.sent(item[0])]
        link = self._links.get(rank)
        self._sending.append(
            (self.comm.Isend(body, rank, tag) if link is None else link.Isend(body, 0, tag), body)
        )

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
