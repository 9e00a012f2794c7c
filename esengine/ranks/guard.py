"""The guard of a rank: the process that the launcher started, which forks the rank and watches how
it ends.

Fault-tolerant MPI tells the other ranks of a process that a signal ended, and of no other end:
after ``exit(1)`` in a simulator they would wait for ever. So a guard ends by a signal when its rank
ended badly. A rank that dies before the pool is open ends the whole launch, since MPI's start-up
cannot go on without it, and so does the master, whenever it dies.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

REPLACEMENT_VARIABLE: Final = "ESENGINE_REPLACEMENT"
"""Rank of a process that the master started in place of a worker that died."""
FOLDER_VARIABLE: Final = "ESENGINE_SHARED_FOLDER"
"""Names the folder of the local launcher that started this rank."""
DIED_EARLY: Final = "died-early"
"""File in that folder which says that a rank died before the pool was open."""
TOLERANT_VARIABLE: Final = "OMPI_MCA_mpi_ft_enable"
"""Set by ``mpirun --with-ft ulfm`` in every rank."""

_STARTING, _SERVING, _LEAVING, _DYING = range(4)
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_stage: mmap.mmap | None = None  # one byte that a rank shares with its guard


def is_tolerant() -> bool:
    """Whether the launcher lets a job go on without a rank that died."""
    return os.environ.get(TOLERANT_VARIABLE, "").lower() in ("1", "true", "yes")


def guard_rank() -> None:
    """Go on in a child that this process guards, on a rank of a fault-tolerant launch that is not
    guarded yet.

    To be called before MPI is imported, and best before anything large is.
    """
    global _stage
    if _stage is not None or not is_tolerant() or "mpi4py.MPI" in sys.modules:
        return
    _stage = mmap.mmap(-1, 1)
    sys.stdout.flush()
    launcher = os.getppid()
    rank = os.fork()
    if rank:
        _watch(rank, launcher, _stage)
    os.setpgid(0, 0)  # signals come from the guard, once
    end_with_parent(signal.SIGKILL)


def mark_serving() -> None:
    """The pool is open: from now on the others go on without this rank."""
    if _stage is not None:
        _stage[0] = _SERVING


def mark_leaving() -> None:
    """This rank's exit status is its own word: MPI knows that it leaves."""
    if _stage is not None:
        _stage[0] = _LEAVING


def mark_dying() -> None:
    """This rank ends itself because others have, of which there is nothing to tell."""
    if _stage is not None:
        _stage[0] = _DYING


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send a signal to this process when its parent ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def _guards_master() -> bool:
    """Whether this is rank 0 of the launch itself; a replacement is rank 0 of a launch of its
    own.
    """
    return os.environ.get("OMPI_COMM_WORLD_RANK") == "0" and REPLACEMENT_VARIABLE not in os.environ


def _last_words(code: int) -> str:
    """How the rank of this guard ended, told since the rank itself cannot."""
    number = os.environ.get(REPLACEMENT_VARIABLE) or os.environ.get("OMPI_COMM_WORLD_RANK", "")
    where = f"rank {number}{', the master,' if _guards_master() else ''} on {os.uname().nodename}"
    if code > 0:
        return f"{where} ended with exit status {code}"
    hint = (
        ", as when memory runs out, a member exceeds --member-timeout or somebody kills it"
        if code == -signal.SIGKILL
        else ""
    )
    return f"{where} was ended by {signal.Signals(-code).name}{hint}"


def _pass_on(rank: int, number: int) -> None:
    with suppress(ProcessLookupError):  # it may have ended by itself just now
        os.kill(rank, number)


def _watch(rank: int, launcher: int, stage: mmap.mmap) -> None:
    is_ending = False  # the launcher ends all ranks

    def forward(number: int, _: object) -> None:
        nonlocal is_ending
        is_ending |= number == signal.SIGTERM
        os.kill(rank, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    end_with_parent(signal.SIGKILL)
    _, status = os.waitpid(rank, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0 or (stage[0] == _LEAVING and code > 0):
        os._exit(code)
    if stage[0] != _DYING and not is_ending:
        os.write(2, f"esengine: {_last_words(code)}\n".encode())
    if stage[0] == _STARTING and FOLDER_VARIABLE in os.environ:
        Path(os.environ[FOLDER_VARIABLE], DIED_EARLY).touch()
    if stage[0] == _STARTING or _guards_master():
        os.kill(launcher, signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGKILL)
