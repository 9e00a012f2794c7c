"""The births of replacements: processes that the master starts in place of workers that died.

A birth has a time, and nobody waits for it: the master goes on, and a process that does not serve
in time is killed. A replacement knows no MPI. It talks to its master over a `Link`, and ends with
it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from esengine.ranks import guard
from esengine.ranks.launch_variables import (
    FOLDER_VARIABLE,
    LINK_VARIABLE,
    REPLACEMENT_VARIABLE,
    leave_environment,
    variable,
)
from esengine.ranks.links import Link
from esengine.ranks.successors import connect

_LEAST_S = 10.0  # time of a birth, however quick the start of this launch was
_SLOWER = 2.0  # times that start
_LEAVE_S = 3.0  # in which replacements that served may end by themselves
_KILL_S = 1.0  # until a killed process has ended

_link: Link | None = None  # in a replacement, that to its master
_served: int | None = None  # in a replacement of another host, a pipe to its supervisor


class Birth:
    """A process that was started in place of a worker.

    Args:
        rank: the replacement's.
        time_s: time in which it must serve.

    Attributes:
        link: the connection with it.
        deadline: when it must serve, by `time.monotonic`.

    Raises:
        OSError: the system refuses to start a process.
    """

    def __init__(self, rank: int, time_s: float) -> None:
        self.rank = rank
        self.time_s = time_s
        self.deadline = time.monotonic() + time_s
        self._is_reported = False
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {
                **os.environ,
                REPLACEMENT_VARIABLE: str(rank),
                LINK_VARIABLE: str(theirs.fileno()),
            }
            if folder := variable(FOLDER_VARIABLE):
                environment[FOLDER_VARIABLE] = folder
            try:
                self._process = subprocess.Popen(
                    [sys.executable or sys.orig_argv[0], *sys.orig_argv[1:]],
                    env=environment,
                    pass_fds=[theirs.fileno()],
                    process_group=0,
                )
            except BaseException:
                ours.close()
                raise
        self.link = Link(ours)

    @property
    def is_late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() > self.deadline

    @property
    def is_suspended(self) -> bool:
        """Whether somebody stopped the process, so that it does nothing."""
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/stat").read_text()
            return status.rpartition(")")[2].split()[0] in ("T", "t")
        return False

    def has_ended(self) -> bool:
        """Whether the process has ended. If it ended badly, that is reported once."""
        code = self._process.poll()
        if code is None:
            return False
        if code and not self._is_reported:
            self._is_reported = True
            guard.report(guard.death_words(f"rank {self.rank}", code))
            self._end_family()
        return True

    def kill(self, reason: str | None = None) -> None:
        """End the process, and report why."""
        if self._process.poll() is None:
            self._is_reported = True
            if reason is not None:
                guard.report(
                    f"rank {self.rank} on {os.uname().nodename} was killed, since {reason}"
                )
            self._process.kill()
            self._end_family()

    def _end_family(self) -> None:
        """Kill what user code started in the process, and left in its group."""
        with suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Pass a signal on to the process."""
        self._process.send_signal(number)

    def wait(self, deadline: float) -> None:
        """Let the process end by itself until then."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, deadline - time.monotonic()))
        self.kill()
        with suppress(subprocess.TimeoutExpired):  # a file system that hangs may hold it
            self._process.wait(_KILL_S)


class Caller:
    """A replacement on another host, which its supervisor there has started.

    Args:
        link: the connection with it.
    """

    is_late = False
    is_suspended = False

    def __init__(self, link: Link) -> None:
        self.link = link
        self.time_s = 0.0

    def has_ended(self) -> bool:
        """Its end is seen on its link."""
        return False

    def kill(self, reason: str | None = None) -> None:
        """Close the link, at which it ends."""
        self.link.close()


class Nursery:
    """All replacements that this master has started."""

    def __init__(self) -> None:
        self._births: dict[int, Birth] = {}

    def start(self, rank: int, time_s: float) -> Birth:
        """Start a replacement.

        Raises:
            OSError: the system refuses to start a process.
        """
        birth = self._births[rank] = Birth(rank, time_s)
        return birth

    def reap(self) -> None:
        """Report the replacements that ended badly."""
        for rank, birth in list(self._births.items()):
            if birth.has_ended():
                del self._births[rank]

    def signal(self, number: signal.Signals) -> None:
        """Pass a signal on to all replacements."""
        for birth in self._births.values():
            birth.signal(number)

    def close(self, serving: Callable[[int], bool]) -> None:
        """End all replacements. Those that served may end by themselves."""
        deadline = time.monotonic() + _LEAVE_S
        births = list(self._births.values())
        self._births.clear()
        for birth in births:
            if not serving(birth.rank):
                birth.kill()
        for birth in births:
            birth.wait(deadline)


def birth_time(compile_s: float, table_s: float = 0.0) -> float:
    """The seconds that a birth may take: some times what the start of this process took.

    Args:
        compile_s: seconds of that start in which kernels were compiled, which are in the cache now.
        table_s: seconds in which a replacement that leads its node makes the noise table.
    """
    return max(_LEAST_S, _SLOWER * (age_s() - compile_s)) + _SLOWER * table_s


def age_s() -> float:
    """The seconds since this process was started."""
    began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    return uptime_s - began / os.sysconf("SC_CLK_TCK")


def be_born() -> None:
    """In a replacement: end with the process that started it, and connect with the master."""
    global _link, _served
    if _link is not None:
        return

    guard.end_with_parent(signal.SIGKILL)
    text = variable(LINK_VARIABLE) or ""
    leave_environment()
    if text.isdigit():
        connection = socket.socket(fileno=int(text))
        connection.set_inheritable(False)
        _link = Link(connection)
    else:
        order = json.loads(text)
        _served = order["served"]
        os.set_inheritable(_served, False)
        _link = connect(order)


def mark_served() -> None:
    """In a replacement: show its supervisor, if there is one, that it serves."""
    global _served
    if _served is not None:
        os.write(_served, b"1")
        os.close(_served)
        _served = None


def link_to_master() -> Link:
    """In a replacement, its connection with the master."""
    assert _link is not None
    return _link
