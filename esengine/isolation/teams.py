"""Teams: a rank's members are evaluated by several processes together, which are an MPI world of
their own on the rank's node.

The rank starts a team by an mpirun of its own and talks to each of its processes over a socket. If
one of them dies, the rank ends them all and starts another team. So the launch itself loses no
rank, whatever its MPI is.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from esengine.errors import UserError, WorkerError
from esengine.isolation.requests import PROGRESS, failed_alone, is_failure
from esengine.isolation.zygote import receive, send
from esengine.ranks.guard import end_with_parent

START_S = 300.0
"""The time in which all ranks of a team must be ready."""
GRACE_S = 1.0
"""How long ranks may answer, once one of them has failed."""
_MOST_STARTS = 3
_HELLO_S = 5.0  # for what a process says of itself once it is connected
_END_S = 3.0  # until killed processes have ended


class Launching(NamedTuple):
    """How the processes of a team are started.

    Attributes:
        command: the launcher and the program, without the socket that they connect with.
        environment: of the launcher.
        folder: of this user alone, for the socket.
        copy_errors: takes the launcher's standard error, and copies it.
    """

    command: list[str]
    environment: dict[str, str]
    folder: Path
    copy_errors: Callable[[IO[bytes]], object]


class Teams:
    """The source of a rank's teams.

    Its members are evaluated one by one, since a rank that fails alone loses its place among the
    others.

    Args:
        size: ranks of a team.
        launching: makes, for one start of a team, a context that gives how.
    """

    can_group = False

    def __init__(
        self, size: int, launching: Callable[[], AbstractContextManager[Launching]]
    ) -> None:
        self._size = size
        self._launching = launching
        self._payload = b""

    def prepare(self, payload: bytes) -> None:
        """Take what the ranks of a team make the problem of."""
        self._payload = payload

    def child(self) -> Team:
        """A team whose ranks are ready.

        Raises:
            WorkerError: the launcher cannot start one, or its ranks cannot make the problem.
        """
        for _ in range(_MOST_STARTS):
            try:
                team = Team(self._size, self._launching)
            except (UserError, OSError) as error:
                raise WorkerError(f"a team of ranks cannot start: {error}") from error
            try:
                team.assemble(self._payload)
                return team
            except (EOFError, OSError):  # TimeoutError is one
                team.close()
            except BaseException:
                team.close()
                raise
        raise WorkerError(
            f"a team of {self._size} ranks must start on {os.uname().nodename}, but {_MOST_STARTS} "
            f"ended or hung while they started; see the lines above"
        )


class Team:
    """The ranks of a team, and their launcher.

    Args:
        size: number of ranks.
        launching: see `Teams`.

    Attributes:
        is_spent: whether a rank has failed alone, so that the others may wait for it for ever.
    """

    def __init__(
        self, size: int, launching: Callable[[], AbstractContextManager[Launching]]
    ) -> None:
        self.is_spent = False
        self._size = size
        self._ranks: dict[int, socket.socket] = {}
        self._alive: list[tuple[int, int]] = []  # number and descriptor of each process
        self._answers: dict[int, bytes] = {}
        self._dead = "a rank of its team"
        self._listener = socket.socket(socket.AF_UNIX)
        with ExitStack() as stack:
            self._launcher = self._launch(stack.enter_context(launching()))
            self._stack = stack.pop_all()  # kept until `close`

    def _launch(self, how: Launching) -> subprocess.Popen[bytes]:
        """Start the ranks, which connect with the listener."""
        address = str(how.folder / "team")
        self._listener.bind(address)
        self._listener.listen(self._size)
        launcher = subprocess.Popen(
            [*how.command, address],
            env=how.environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGKILL),
        )
        assert launcher.stderr is not None
        how.copy_errors(launcher.stderr)
        return launcher

    def assemble(self, payload: bytes) -> None:
        """Wait until all ranks are ready.

        Raises:
            EOFError, OSError: a process has ended.
            TimeoutError: they took too long.
            WorkerError: a rank cannot make the problem.
        """
        deadline = time.monotonic() + START_S
        while len(self._ranks) < self._size:
            self._listener.settimeout(0.05)
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
                if self._launcher.poll() is not None:
                    raise EOFError from None
                continue
            self._welcome(connection)

        self.send(payload)
        for refusal in self._collect(deadline):
            if refusal:
                raise WorkerError(refusal.decode())

    def _welcome(self, connection: socket.socket) -> None:
        connection.settimeout(_HELLO_S)
        hello: dict[str, Any] = json.loads(receive(connection))
        connection.settimeout(None)
        if hello["size"] != self._size:
            raise WorkerError(
                f"the ranks of a team must be one MPI world of {self._size}, got worlds of "
                f"{hello['size']}; mpirun must be that of the MPI that mpi4py loads"
            )
        self._alive.append((hello["pid"], os.pidfd_open(hello["pid"])))
        self._ranks[hello["rank"]] = connection

    def send(self, message: bytes) -> None:
        """Send all ranks a message. Raises OSError if one has ended."""
        self._answers = {}
        for connection in self._ranks.values():
            send(connection, message)

    def receive(self, seconds: float | None) -> bytes:
        """The answer of the first rank, once all have answered; `PROGRESS` comes alone.

        If a rank has failed, and others do not answer soon, it is the failure.

        Raises:
            EOFError, OSError: a rank has ended.
            TimeoutError: there is no answer within some seconds.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        failure = None
        while len(self._answers) < self._size:
            if failure is None:
                failure = next((each for each in self._answers.values() if is_failure(each)), None)
                if failure is not None:
                    deadline = time.monotonic() + GRACE_S
            try:
                if self._take(deadline):
                    return PROGRESS
            except TimeoutError:
                if failure is None:
                    raise
                self.is_spent = True
                return failed_alone(failure)
        return self._answers[0]

    def _collect(self, deadline: float) -> list[bytes]:
        """The answers of all ranks, by rank."""
        while len(self._answers) < self._size:
            self._take(deadline)
        return [self._answers[rank] for rank in range(self._size)]

    def _take(self, deadline: float | None) -> bool:
        """Receive what comes next; returns whether it is the first rank's progress."""
        poll = select.poll()
        waiting = {
            connection.fileno(): rank
            for rank, connection in self._ranks.items()
            if rank not in self._answers
        }
        # a rank that has answered says nothing more until it ends
        answered = {self._ranks[rank].fileno(): rank for rank in self._answers}
        for descriptor in waiting:
            poll.register(descriptor, select.POLLIN)
        for descriptor in answered:
            poll.register(descriptor, select.POLLRDHUP)
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        found = poll.poll(None if left_s is None else 1000 * left_s)
        if not found:
            raise TimeoutError
        is_progress = False
        for descriptor, _ in found:
            rank = (waiting | answered)[descriptor]
            self._dead = f"rank {rank} of its team"
            message = receive(self._ranks[rank])
            if message[:1] == PROGRESS:
                is_progress |= rank == 0
            else:
                self._answers[rank] = message
        return is_progress

    def close(self, seconds: float = 0.0) -> tuple[str, bool]:
        """Close the connections, at which the ranks end by themselves; kill them after some
        seconds. A death may be no fault of a member.
        """
        with suppress(OSError):
            self._listener.close()
        for connection in self._ranks.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        if seconds:
            with suppress(subprocess.TimeoutExpired):
                self._launcher.wait(seconds)

        for number, descriptor in self._alive:
            with suppress(OSError):
                os.killpg(number, signal.SIGKILL)  # what it has started goes with it
            with suppress(OSError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        self._launcher.kill()
        with suppress(subprocess.TimeoutExpired):
            self._launcher.wait(_END_S)
        for connection in self._ranks.values():
            connection.close()
        for _, descriptor in self._alive:
            _wait(descriptor, _END_S)
            os.close(descriptor)
        self._ranks.clear()
        self._alive.clear()
        self._stack.close()
        return f"{self._dead} ended", True


def _wait(descriptor: int, seconds: float) -> None:
    """Wait for the end of a process."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(1000 * seconds)
