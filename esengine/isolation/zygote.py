"""The zygote: a process that a rank forks before MPI starts. It holds the problem, and forks a
child for evaluations whenever one is needed.

A process that has started MPI must not fork and go on in the child, and a replacement rank has to
start Python again. The zygote has neither problem: a new child has everything that the zygote has
loaded, and costs some milliseconds.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from threadpoolctl import threadpool_limits

from esengine.errors import WorkerError
from esengine.ranks.guard import end_with_parent
from esengine.ranks.launch_variables import leave_environment
from esengine.user_code import FORKS

Serve = Callable[[socket.socket], None]
"""What a child does until its connection is closed."""
Prepare = Callable[[bytes], Serve]
"""Makes that in the zygote of what the rank sends."""

_LENGTH = struct.Struct("<q")

_zygote: Zygote | None = None


class Child:
    """A process that evaluates members.

    Args:
        pid: its number; it leads its own process group.
        connection: the rank's end of the connection with it.
        status: returns how the process of a number ended, see `Zygote.status`.
    """

    is_spent = False

    def __init__(self, pid: int, connection: socket.socket, status: Callable[[int], int]) -> None:
        self.pid = pid
        self.connection = connection
        self._status = status
        self._alive = os.pidfd_open(pid)
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        self._poll.register(self._alive, select.POLLIN)

    def send(self, message: bytes) -> None:
        """Send a message. Raises OSError if the child has ended."""
        send(self.connection, message)

    def receive(self, seconds: float | None) -> bytes:
        """The next message.

        Raises:
            EOFError, OSError: the child has ended.
            TimeoutError: none came within some seconds.
        """
        found = self._poll.poll(None if seconds is None else max(0.0, 1000 * seconds))
        if not found:
            raise TimeoutError
        if all(descriptor == self._alive for descriptor, _ in found):
            raise EOFError
        return receive(self.connection)

    def kill(self) -> None:
        """End the child and what it has started."""
        for end in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                end(self.pid, signal.SIGKILL)

    def close(self, seconds: float = 0.0) -> tuple[str, bool]:
        """Close the connection, at which the child ends by itself; kill it after some seconds.

        Returns:
            How it ended, in words, and whether something outside killed it.
        """
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
        poll = select.poll()
        poll.register(self._alive, select.POLLIN)
        poll.poll(1000 * seconds)
        self.kill()
        self.connection.close()
        os.close(self._alive)

        code = self._status(self.pid)
        if code >= 0:
            return f"it ended its process with exit status {code}", False
        hint = ", as when memory runs out or somebody kills it" if code == -signal.SIGKILL else ""
        name = signal.Signals(-code).name
        return f"its process was ended by {name}{hint}", code == -signal.SIGKILL


class Zygote:
    """The rank's side of its zygote.

    Args:
        connection: with it.
    """

    can_group = True

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def prepare(self, payload: bytes) -> None:
        """Let the zygote make what children do from now on.

        Raises:
            WorkerError: it cannot.
        """
        try:
            self._connection.sendall(b"p")
            send(self._connection, payload)
            answer = receive(self._connection)
        except (OSError, EOFError) as error:
            raise WorkerError(f"the process that isolates members has ended: {error}") from error
        if answer:
            raise WorkerError(f"the process that isolates members cannot start: {answer.decode()}")

    def child(self) -> Child:
        """A new child.

        Raises:
            WorkerError: the zygote has ended, or the system has no more processes.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._connection, [b"f"], [theirs.fileno()])
                (pid,) = _LENGTH.unpack(_exactly(self._connection, _LENGTH.size))
            except (OSError, EOFError) as error:
                ours.close()
                raise WorkerError(
                    f"the process that isolates members has ended: {error}"
                ) from error
        if pid <= 0:
            ours.close()
            raise WorkerError("the process that isolates members cannot fork: no more processes")
        return Child(pid, ours, self.status)

    def status(self, pid: int) -> int:
        """How a child ended, as `os.waitstatus_to_exitcode` says; waits for its end."""
        self._connection.sendall(b"w" + _LENGTH.pack(pid))
        (code,) = _LENGTH.unpack(_exactly(self._connection, _LENGTH.size))
        return int(code)

    def close(self) -> None:
        """End the zygote."""
        self._connection.close()


def fork_zygote(prepare: Prepare) -> None:
    """Fork this process's zygote, before MPI starts.

    Args:
        prepare: called in the zygote when the rank first needs it.
    """
    global _zygote
    ours, theirs = socket.socketpair()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python's, of forks among threads
        pid = os.fork()
    if pid == 0:
        ours.close()
        _live(theirs, prepare)
    theirs.close()
    if _zygote is not None:
        _zygote.close()
    _zygote = Zygote(ours)


def zygote_of_process() -> Zygote | None:
    """The zygote that `fork_zygote` made in this process, or None."""
    return _zygote


def _live(connection: socket.socket, prepare: Prepare) -> NoReturn:
    """The zygote's life: prepare, then fork children until the rank ends."""
    try:
        begin_apart()
        leave_environment()
        threadpool_limits(1)
        serve: Serve = _unprepared
        while True:
            serve = _answer(connection, serve, prepare)
    except (EOFError, OSError):
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _unprepared(connection: socket.socket) -> None:
    raise RuntimeError("the zygote was not prepared")


def _answer(connection: socket.socket, serve: Serve, prepare: Prepare) -> Serve:
    """Do one thing that the rank asks for; returns what children do from now on."""
    message, descriptors, *_ = socket.recv_fds(connection, 1, 1)
    if not message:
        raise EOFError
    if message == b"w":
        (pid,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
        _, status = os.waitpid(pid, 0)
        connection.sendall(_LENGTH.pack(os.waitstatus_to_exitcode(status)))
        return serve
    if message == b"p":
        payload = receive(connection)
        try:
            serve = prepare(payload)
        except Exception as error:
            send(connection, f"{type(error).__name__}: {error}".encode())
        else:
            send(connection, b"")
        return serve
    try:
        pid = os.fork()
    except OSError:
        pid = -1
    if pid == 0:
        connection.close()
        _serve(socket.socket(fileno=descriptors[0]), serve)
    os.close(descriptors[0])
    connection.sendall(_LENGTH.pack(pid))
    return serve


def _serve(connection: socket.socket, serve: Serve) -> NoReturn:
    """A child's life."""
    status = 1
    try:
        begin_apart()
        with suppress(OSError):  # when memory runs out, the kernel ends this process first
            Path("/proc/self/oom_score_adj").write_text("500")
        serve(connection)
        status = 0
    except (EOFError, BrokenPipeError, ConnectionResetError):
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        os._exit(status)


def begin_apart() -> None:
    """End with the parent, away from its terminal's signals, and count as no fork of user code."""
    end_with_parent(signal.SIGKILL)
    with suppress(PermissionError):  # it leads a session already, as ranks of MPICH do
        os.setpgid(0, 0)
    FORKS.watch()


def send(connection: socket.socket, message: bytes) -> None:
    """Send a message with its length."""
    connection.sendall(_LENGTH.pack(len(message)) + message)


def receive(connection: socket.socket) -> bytes:
    """The next message. Raises EOFError if the other side has ended."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    return _exactly(connection, length)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = connection.recv(size, socket.MSG_WAITALL) if size else b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise EOFError("the connection was closed")
        found += part
    return found
