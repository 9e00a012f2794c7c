"""Watches the end of a launch, which mpirun may not see.

mpirun reads the output of its ranks to the end. Processes that user code started hold it open, also
when all ranks have ended.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from esengine.launch.mpirun.start_watch import processes, ranks_of, variables_of
from esengine.ranks.guard import report
from esengine.ranks.launch_variables import FOLDER_VARIABLE, LAUNCH_VARIABLE, WORKER_VARIABLE

_LOOK_S = 0.5  # between two looks at the processes of this machine
_SETTLE_S = 1.0  # in which mpirun ends after its last rank
_LAST_S = 30.0  # in which ranks close all and end, from the master's exit status on


class EndWatch:
    """Sees that the ranks of this machine have ended, or do not end.

    Args:
        mpirun: its process id.
        status: the file in which the master leaves its exit status.

    Attributes:
        has_killed: whether ranks had to be killed.
    """

    def __init__(self, mpirun: int, status: Path) -> None:
        self._mpirun = mpirun
        self._status = status
        self._looked = time.monotonic()
        self._has_begun = False
        self.has_killed = False
        self._since: float | None = None  # when the ranks were missed, or the master was done

    def is_over(self) -> bool:
        """Whether mpirun has nothing to wait for any more. Ranks that do not end are killed."""
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return False

        self._looked = now
        ranks = ranks_of(self._mpirun)
        self._has_begun = self._has_begun or bool(ranks)
        if not self._has_begun or (ranks and not self._status.exists()):
            self._since = None
            return False

        self._since = now if self._since is None else self._since
        if not ranks:
            return now - self._since > _SETTLE_S
        if now - self._since < _LAST_S:
            return False

        names = ", ".join(variables["OMPI_COMM_WORLD_RANK"] for variables in ranks.values())
        report(f"ranks {names} did not end within {_LAST_S:.0f} s after the work, and are killed")
        self.has_killed = True
        for pid in ranks:
            _kill(pid)
        return True


def end_family(folder: Path) -> None:
    """Kill what user code started on this machine in ranks that were killed, and left behind.

    Args:
        folder: of the launch.
    """
    mark = str(folder)
    for pid in processes():
        variables = variables_of(pid)
        is_program = variables.get(LAUNCH_VARIABLE) == mark and WORKER_VARIABLE in variables
        is_copy = variables.get(FOLDER_VARIABLE) == mark and not _leads_session(pid)
        if is_program or is_copy:
            _kill(pid)


def _leads_session(pid: int) -> bool:
    """Whether a process has left the others, such as one that saves a checkpoint."""
    with suppress(OSError):
        return os.getsid(pid) == pid
    return True


def _kill(pid: int) -> None:
    with suppress(OSError):
        os.kill(pid, signal.SIGKILL)
