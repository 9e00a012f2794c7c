"""Watches a launch until its pool is open.

MPI's start-up needs every rank, and waits without end for one that ended or hangs. A rank's guard
reports the death of its rank. Nobody else reports the death of a guard.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from esengine.ranks.guard import report
from esengine.ranks.launch_variables import FOLDER_VARIABLE
from esengine.ranks.world import MPI_IS_UP, READY

_LOOK_S = 0.3  # between two looks at the processes of this machine
_SETTLE_S = 3.0  # in which an end in good order reaches all ranks
_LAST_S = 30.0  # in which mpirun ends after its last rank
_START_S = 300.0  # until MPI is up on all ranks, which holds no work of the user's


class StartWatch:
    """Sees that a rank ended, or never came, while the others wait for it.

    Args:
        mpirun: its process id.
        folder: of the launch.
        start_s: time in which MPI must be up.
    """

    def __init__(self, mpirun: int, folder: Path, start_s: float = _START_S) -> None:
        self._mpirun = mpirun
        self._folder = folder
        self._start_s = start_s
        self._began = self._looked = time.monotonic()
        self._numbers: dict[int, int] = {}  # ranks of this machine by their index on it
        self._pids: set[int] = set()
        self._size = 0  # of the launch on this machine
        self._missing: set[int] = set()
        self._since = 0.0  # when these were missed first
        self._is_over = False

    def has_failed(self) -> bool:
        """Whether the start cannot succeed any more, which is reported."""
        now = time.monotonic()
        self._is_over = self._is_over or (self._folder / READY).exists()
        if self._is_over or now - self._looked < _LOOK_S:
            return False

        self._looked = now
        living = self._look()
        missing = set(range(self._size)) - living
        if missing != self._missing:
            self._missing = missing
            self._since = now

        if missing and now - self._since > (_SETTLE_S if living else _LAST_S):
            ranks = sorted(self._numbers.get(index, index) for index in missing)
            names = f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {str(ranks)[1:-1]}"
            report(f"{names} ended before the pool was open, and the others cannot start alone")
            return True

        if now - self._began > self._start_s and not (self._folder / MPI_IS_UP).exists():
            report(f"the ranks did not start MPI within {self._start_s:.0f} s")
            return True
        return False

    def kill(self) -> None:
        """End the ranks of this machine that survived mpirun, if the pool was never open."""
        if self._is_over:
            return
        for pid in self._pids:
            if variables_of(pid).get(FOLDER_VARIABLE) == str(self._folder):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _look(self) -> set[int]:
        """The indices of the living ranks of this machine."""
        living = set()
        for pid, variables in ranks_of(self._mpirun).items():
            index = int(variables["OMPI_COMM_WORLD_LOCAL_RANK"])
            living.add(index)
            self._pids.add(pid)
            self._numbers[index] = int(variables["OMPI_COMM_WORLD_RANK"])
            self._size = int(variables["OMPI_COMM_WORLD_LOCAL_SIZE"])
        return living


def ranks_of(mpirun: int) -> dict[int, dict[str, str]]:
    """The living ranks of this machine by process, each with the variables that it started with."""
    children = {pid: variables_of(pid) for pid in _children(mpirun)}
    return {
        pid: variables
        for pid, variables in children.items()  # others are no ranks yet, or have ended
        if variables.get("OMPI_COMM_WORLD_LOCAL_RANK", "").isdigit()
    }


def _children(parent: int) -> list[int]:
    """The child processes of a process, from the kernel's list where it has one."""
    with suppress(OSError):
        lists = list(Path(f"/proc/{parent}/task").glob("*/children"))
        if lists:
            return [int(pid) for threads in lists for pid in threads.read_text().split()]

    return [pid for pid in processes() if _parent(pid) == parent]


def processes() -> list[int]:
    """All processes of this machine."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None

    return int(status.rpartition(")")[2].split()[1])


def variables_of(pid: int) -> dict[str, str]:
    """The variables that a process was started with; none if it has ended."""
    try:
        items = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(item.decode(errors="replace").split("=", 1) for item in items if b"=" in item)
