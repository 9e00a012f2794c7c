"""Connections outside MPI: a master and the replacements of its workers talk over a socket each.

Starting a process through MPI waits for it without a limit, and the kernel reports the end of a
process on a socket at once. Nothing here blocks.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from weakref import WeakSet

_HEADER = struct.Struct("<qq")  # tag and length of a body
_MOST_BYTES = 1 << 20  # read at once


class LinkClosed(Exception):
    """The process at the other end has ended."""


class Sending:
    """A body on its way. It has the one method of an MPI request that is used."""

    def __init__(self, flush: Callable[[], None], parts: list[memoryview]) -> None:
        self._flush = flush
        self.parts = parts

    def Test(self) -> bool:  # noqa: N802
        """Whether the body has left this process.

        Raises:
            LinkClosed: the other end has ended.
        """
        if self.parts:
            self._flush()
        return not self.parts


class Link:
    """One end of a connection that keeps the order and the bounds of messages.

    Args:
        connection: a connected stream socket, which this object owns.

    Attributes:
        tag: of the last message that was received; -1 before the first.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        _open.add(self)
        self._queue: deque[Sending] = deque()
        self._is_broken = False  # nothing can be sent any more
        self._header = bytearray()
        self._body: bytearray | None = None  # the message that is being received
        self._received = 0  # bytes of it that have arrived
        self.tag = self._next_tag = -1

    def send(self, body: bytes | bytearray, tag: int) -> Sending:
        """Send a body. The caller keeps it unchanged until that is done.

        Raises:
            LinkClosed: the other end has ended.
        """
        header = memoryview(_HEADER.pack(tag, len(body)))
        sending = Sending(self.flush, [header, memoryview(body)] if len(body) else [header])
        self._queue.append(sending)
        self.flush()
        return sending

    def flush(self) -> None:
        """Write as much as the connection takes.

        Raises:
            LinkClosed: the other end has ended.
        """
        if self._is_broken:
            raise LinkClosed
        while self._queue:
            parts = self._queue[0].parts
            try:
                count = self._socket.send(parts[0])
            except BlockingIOError:
                return
            except OSError as error:
                self._is_broken = True
                raise LinkClosed from error

            parts[0] = parts[0][count:]
            if not len(parts[0]):
                parts.pop(0)
            if not parts:
                self._queue.popleft()

    def receive(self) -> tuple[int, bytearray] | None:
        """The tag and the body of the next message, or None if it has not arrived completely.

        Raises:
            LinkClosed: the other end has ended, and all its messages were received.
        """
        if not self._is_broken:
            with suppress(LinkClosed):  # the last messages of the other end come first
                self.flush()
        try:
            if self._body is None and not self._receive_header():
                return None
            assert self._body is not None
            rest = memoryview(self._body)[self._received :]
            while len(rest):
                count = self._socket.recv_into(rest[:_MOST_BYTES])
                if not count:
                    raise LinkClosed
                self._received += count
                rest = rest[count:]
        except BlockingIOError:
            return None
        except OSError as error:
            raise LinkClosed from error

        body = self._body
        self._body = None
        self.tag = self._next_tag
        return self.tag, body

    def _receive_header(self) -> bool:
        data = self._socket.recv(_HEADER.size - len(self._header))
        if not data:
            raise LinkClosed
        self._header += data
        if len(self._header) < _HEADER.size:
            return False

        tag, length = _HEADER.unpack(self._header)
        self._next_tag = tag
        self._header.clear()
        self._body = bytearray(length)
        self._received = 0
        return True

    def close(self) -> None:
        self._socket.close()


_open: WeakSet[Link] = WeakSet()


def _after_fork() -> None:
    """In a forked child: close the links, whose ends the other side could not see otherwise."""
    for link in list(_open):
        link.close()


os.register_at_fork(after_in_child=_after_fork)
