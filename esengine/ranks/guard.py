"""The guard of a rank: the process that the launcher started, which forks the rank and watches how
it ends.

Fault-tolerant MPI reports a rank that died by a signal, but not one that exited: after ``exit(1)``
in a simulator the other ranks would wait for ever. So a guard kills itself by a signal when its
rank failed. A rank that dies before the pool is open ends the whole launch, since MPI's start-up
needs all ranks. The death of the master always ends the launch.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from esengine.ranks.launch_variables import FOLDER_VARIABLE, is_tolerant
from esengine.ranks.successors import supervise

DIED_EARLY: Final = "died-early"
"""File in that folder: a rank died before the pool was open."""
_STARTING, _SERVING, _LEAVING, _DYING = range(4)
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
_ORPHANS_S = 2.0
_PAGE = 4096
_stage: mmap.mmap | None = None  # shared by a rank and its guard: the stage, then the order


def guard_rank() -> None:
    """Fork, continue in the child and guard it from this process.

    Does nothing unless the launch is fault tolerant and this rank has no guard yet. Call it before
    MPI is imported, and preferably before any large import.
    """
    global _stage
    if _stage is not None or not is_tolerant() or "mpi4py.MPI" in sys.modules:
        return

    _stage = mmap.mmap(-1, _PAGE)
    launcher = os.getppid()
    sys.stdout.flush()
    rank = os.fork()
    if rank:
        _watch(rank, launcher, _stage)

    os.setpgid(0, 0)  # only the guard forwards signals, each one once
    end_with_parent(signal.SIGKILL)


def mark_serving() -> None:
    """Record that the pool is open: from now on the launch survives the death of this rank."""
    if _stage is not None:
        _stage[0] = _SERVING


def order_successor(order: dict[str, Any]) -> None:
    """Have the guard start a replacement when this rank dies, see `successors.supervise`."""
    text = json.dumps(order).encode()
    if _stage is not None and len(text) < _PAGE - 1:
        _stage[1 : 1 + len(text)] = text


def mark_leaving() -> None:
    """Record that this rank leaves MPI in order, so that its guard exits with the same status."""
    if _stage is not None:
        _stage[0] = _LEAVING


def mark_dying() -> None:
    """Record that this rank ends itself because others have ended, which needs no report."""
    if _stage is not None:
        _stage[0] = _DYING


def end_with_parent(number: signal.Signals) -> None:
    """Have the kernel send a signal to this process when its parent ends."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, number)


def _adopt_orphans() -> None:
    """Become the parent of processes below this one whose own parent ends."""
    pr_set_child_subreaper = 36
    ctypes.CDLL(None).prctl(pr_set_child_subreaper, 1)


def _end_orphans() -> None:
    """Kill what user code started in a rank that died, and in turn what that has started."""
    deadline = time.monotonic() + _ORPHANS_S
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    with suppress(OSError):
        while (found := children.read_text().split()) and time.monotonic() < deadline:
            for child in map(int, found):
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def report(words: str) -> None:
    """Print a line about the end of a process, also where Python's streams may be in use."""
    with suppress(OSError):
        os.write(2, f"esengine: {words}\n".encode())


def death_words(who: str, code: int) -> str:
    """How a process of this machine ended badly, by the code of `os.waitstatus_to_exitcode`."""
    where = f"{who} on {os.uname().nodename}"
    if code > 0:
        return f"{where} ended with exit status {code}"

    hint = (
        ", as when memory runs out, a member exceeds --member-timeout or somebody kills it"
        if code == -signal.SIGKILL
        else ""
    )
    return f"{where} was ended by {signal.Signals(-code).name}{hint}"


def _guards_master() -> bool:
    """Whether this is rank 0 of the launch."""
    return os.environ.get("OMPI_COMM_WORLD_RANK") == "0"


def _watch(rank: int, launcher: int, stage: mmap.mmap) -> None:
    is_ending = False  # the launcher ends all ranks

    def forward(number: int, _: object) -> None:
        nonlocal is_ending
        is_ending |= number == signal.SIGTERM
        with suppress(ProcessLookupError):  # the rank may have ended a moment ago
            os.kill(rank, number)

    for number in _FORWARDED:
        signal.signal(number, forward)

    end_with_parent(signal.SIGKILL)
    _adopt_orphans()
    _, status = os.waitpid(rank, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0 or (stage[0] == _LEAVING and code > 0):
        os._exit(code)

    if not is_ending:  # else a child of the rank may save a checkpoint
        _end_orphans()

    if stage[0] != _DYING and not is_ending:
        title = ", the master," if _guards_master() else ""
        report(death_words(f"rank {os.environ.get('OMPI_COMM_WORLD_RANK', '')}{title}", code))

    if stage[0] == _STARTING and FOLDER_VARIABLE in os.environ:
        Path(os.environ[FOLDER_VARIABLE], DIED_EARLY).touch()

    if stage[0] == _STARTING or _guards_master():
        os.kill(launcher, signal.SIGTERM)

    if stage[0] == _SERVING and not is_ending:
        _leave_successor(bytes(stage[1:]).rstrip(b"\0"))

    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGKILL)


def _leave_successor(order: bytes) -> None:
    """Carry the rank's order out in a process that outlives this one."""
    if order and os.fork() == 0:
        os.setsid()
        for number in _FORWARDED:
            signal.signal(number, signal.SIG_DFL)
        try:
            supervise(json.loads(order), int(os.environ["OMPI_COMM_WORLD_RANK"]))
        finally:
            os._exit(0)
