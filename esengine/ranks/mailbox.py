"""Point-to-point messages between master and workers, sent and polled without blocking."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpi4py import MPI

TASK_TAG, RESULT_TAG, PUBLISH_TAG, STOP_TAG, ERROR_TAG, READY_TAG, FAILURE_TAG = range(1, 8)
LEAD_TAG, LEADING_TAG, FOLLOW_TAG, VALUE_TAG, BEGUN_TAG = range(8, 13)

_GREETING_S = 10.0
_EAGER_BYTES = 2048  # the largest body that MPI sends without a handshake


class Mailbox:
    """A rank's connections to all other ranks.

    In a fault-tolerant launch, the `poll` or the `send` that detects a dead rank adds it to `lost`.
    Messages to a dead rank are dropped.

    Attributes:
        comm: the ranks of the launch; in a replacement, the link to its master.
        source, tag: of the message that `poll` returned last.
        lost: ranks that were detected as dead; the caller removes them.
        num_sent: messages sent so far, by tag.
    """

    def __init__(self, comm: MPI.Comm, tolerant: bool = False) -> None:
        from mpi4py import MPI

        self.comm = comm
        self.source = -1
        self.tag = -1
        self.lost: list[int] = []
        self.num_sent = [0] * (BEGUN_TAG + 1)
        self._status = MPI.Status()
        self._byte = MPI.BYTE
        self._any_source = MPI.ANY_SOURCE
        self._any_tag = MPI.ANY_TAG
        self._match = comm.Improbe
        self._send = comm.Send
        self._links: dict[int, MPI.Comm] = {}
        self._dead: set[int] = set()
        self._sending: list[tuple[MPI.Request, bytes]] = []  # with what is being sent
        self._failure: type[Exception] | tuple[()] = MPI.Exception if tolerant else ()

    def connect(self, rank: int, link: MPI.Comm) -> bool:
        """Make the process at the other end of ``link`` the one with number ``rank``.

        Waits for its greeting. MPI reports a death on a link only after something was received over
        that link, and a blocking send to a process that died before waits for ever. Therefore a
        replacement sends a greeting at once, and sends to it never block.

        Returns:
            False if it dies before it has sent its greeting, or sends none in time.
        """
        deadline = time.monotonic() + _GREETING_S
        while time.monotonic() < deadline:
            try:
                if (message := link.Improbe(0, VALUE_TAG)) is not None:
                    message.Recv(bytearray())
                    self._links[rank] = link
                    return True
            except self._failure:
                break

            time.sleep(1e-4)

        self.lost.append(rank)
        return False

    def poll(self) -> bytearray | None:
        """The body of the next message that has arrived, or None. Does not wait."""
        try:
            body = self._receive()
        except self._failure:
            self._find_dead()
            try:
                body = self._receive()  # messages from before the death come first
            except self._failure:
                body = None  # another rank has died since; the next poll finds it

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
        self.source = status.source
        self.tag = status.tag
        return body

    def send(self, body: bytes, rank: int, tag: int) -> None:
        """Send a body, which the caller need not keep."""
        self.num_sent[tag] += 1
        try:
            if rank in self._links or len(body) > _EAGER_BYTES:
                self._send_later(body, rank, tag)
            else:
                self._send(body, rank, tag)
        except self._failure:
            self._lose(rank)

    def begin_send(self, body: bytes | bytearray, rank: int, tag: int) -> MPI.Request | None:
        """Send without waiting. The caller keeps the body unchanged until the request is `sent`.

        Returns:
            The request, or None if the other end is dead.
        """
        self.num_sent[tag] += 1
        try:
            return self._isend(body, rank, tag)
        except self._failure:
            self._lose(rank)
            return None

    def sent(self, request: MPI.Request | None) -> bool:
        """Whether a request of `begin_send` is done, or the other end has died."""
        if request is None:
            return True
        try:
            return request.Test()
        except self._failure:
            return True  # the next poll finds the dead rank

    def _send_later(self, body: bytes, rank: int, tag: int) -> None:
        """Send without waiting, since for a large body the other end may be slow or not connected
        yet.
        """
        self._sending = [item for item in self._sending if not self.sent(item[0])]
        self._sending.append((self._isend(body, rank, tag), body))

    def _isend(self, body: bytes | bytearray, rank: int, tag: int) -> MPI.Request:
        if rank in self._links:
            return self._links[rank].Isend(body, 0, tag)
        return self.comm.Isend(body, rank, tag)

    def _poll_links(self) -> bytearray | None:
        for rank, link in list(self._links.items()):
            try:
                message = link.Improbe(0, self._any_tag, self._status)
                if message is not None:
                    body = bytearray(self._status.Get_count(self._byte))
                    message.Recv(body)
                    self.source = rank
                    self.tag = self._status.tag
                    return body
            except self._failure:
                self._lose(rank)

        return None

    def _find_dead(self) -> None:
        """Add the ranks that died to `lost`, and let MPI receive from the others again."""
        from mpi4py import MPI

        comm = self.comm
        if comm.is_inter:  # a replacement is connected with the master alone
            self._lose(0)
            return

        failed = comm.Get_failed()
        for rank in MPI.Group.Translate_ranks(failed, list(range(failed.size)), comm.group):
            self._lose(rank)

        comm.Ack_failed(failed.size)

    def _lose(self, rank: int) -> None:
        if rank not in self._dead:
            self._dead.add(rank)
            self._links.pop(rank, None)
            self.lost.append(rank)
