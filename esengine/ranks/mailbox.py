"""Point-to-point messages between master and workers, sent and polled without blocking."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from esengine.ranks.links import Link, LinkClosed

if TYPE_CHECKING:
    from mpi4py import MPI

TASK_TAG, RESULT_TAG, PUBLISH_TAG, STOP_TAG, ERROR_TAG, READY_TAG, FAILURE_TAG = range(1, 8)
LEAD_TAG, LEADING_TAG, FOLLOW_TAG, VALUE_TAG, BEGUN_TAG = range(8, 13)

_EAGER_BYTES = 2048  # the largest body that MPI sends without a handshake


class Request(Protocol):
    """A message on its way: a request of MPI, or `links.Sending`."""

    def Test(self) -> bool: ...  # noqa: N802


class Mailbox:
    """A rank's connections to all other ranks.

    In a fault-tolerant launch, the `poll` or the `send` that detects a dead rank adds it to `lost`.
    Messages to a dead rank are dropped.

    Args:
        comm: the ranks of the launch; None in a replacement, which only has a link to its master.
        tolerant: whether the launch is fault tolerant.

    Attributes:
        source, tag: of the message that `poll` returned last.
        lost: ranks that were detected as dead; the caller removes them.
        num_sent: messages sent so far, by tag.
        when_idle: called by each `poll` that finds no message.
    """

    def __init__(self, comm: MPI.Comm | None, tolerant: bool = False) -> None:
        self._comm = comm
        self.source = -1
        self.tag = -1
        self.lost: list[int] = []
        self.num_sent = [0] * (BEGUN_TAG + 1)
        self.when_idle: Callable[[], None] | None = None
        self._links: dict[int, Link] = {}
        self._dead: set[int] = set()
        self._sending: list[tuple[Request, bytes]] = []  # with what is being sent
        self._failure: tuple[type[Exception], ...] = (LinkClosed,)
        if comm is None:
            return

        from mpi4py import MPI

        self._status = MPI.Status()
        self._byte = MPI.BYTE
        self._any_source = MPI.ANY_SOURCE
        self._any_tag = MPI.ANY_TAG
        self._match = comm.Improbe
        self._send = comm.Send
        if tolerant:
            self._failure = (LinkClosed, MPI.Exception)

    def connect(self, rank: int, link: Link) -> None:
        """Make the process at the other end of ``link`` the one with number ``rank``."""
        self._links[rank] = link

    def give_up(self, rank: int) -> None:
        """Count a rank as dead."""
        self._lose(rank)

    def poll(self) -> bytearray | None:
        """The body of the next message that has arrived, or None. Does not wait."""
        body = None if self._comm is None else self._poll_ranks(self._comm)
        if body is None and self._links:
            body = self._poll_links()
        if body is None and self.when_idle is not None:
            self.when_idle()
        return body

    def _poll_ranks(self, comm: MPI.Comm) -> bytearray | None:
        try:
            return self._receive()
        except self._failure:
            self._find_dead(comm)
        try:
            return self._receive()  # messages from before the death come first
        except self._failure:
            return None  # another rank has died since; the next poll finds it

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
        if rank in self._dead:
            return
        try:
            if rank in self._links or len(body) > _EAGER_BYTES:
                self._send_later(body, rank, tag)
            else:
                self._send(body, rank, tag)
        except self._failure:
            self._lose(rank)

    def begin_send(self, body: bytes | bytearray, rank: int, tag: int) -> Request | None:
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

    def flush(self, seconds: float) -> None:
        """Wait until all has left this process, but no longer than some seconds."""
        deadline = time.monotonic() + seconds
        while self._sending and time.monotonic() < deadline:
            self._sending = [item for item in self._sending if not self.sent(item[0])]
            time.sleep(1e-4)

    def sent(self, request: Request | None) -> bool:
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
        if (request := self._isend(body, rank, tag)) is not None:
            self._sending.append((request, body))

    def _isend(self, body: bytes | bytearray, rank: int, tag: int) -> Request | None:
        if rank in self._links:
            return self._links[rank].send(body, tag)
        if self._comm is None or rank in self._dead:
            return None
        return self._comm.Isend(body, rank, tag)

    def _poll_links(self) -> bytearray | None:
        for rank, link in list(self._links.items()):
            try:
                message = link.receive()
            except LinkClosed:
                self._lose(rank)
                continue
            if message is not None:
                self.source = rank
                self.tag, body = message
                return body

        return None

    def _find_dead(self, comm: MPI.Comm) -> None:
        """Add the ranks that died to `lost`, and let MPI receive from the others again."""
        from mpi4py import MPI

        failed = comm.Get_failed()
        for rank in MPI.Group.Translate_ranks(failed, list(range(failed.size)), comm.group):
            self._lose(rank)

        comm.Ack_failed(failed.size)

    def _lose(self, rank: int) -> None:
        if rank not in self._dead:
            self._dead.add(rank)
            link = self._links.pop(rank, None)
            if link is not None:
                link.close()
            self.lost.append(rank)
