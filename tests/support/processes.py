"""The processes of a run under test, found by a mark in their environment."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

MARK = "ESENGINE_TEST_MARK"
_OPEN_MPI_4 = "OMPI_MCA_orte_ess_num_procs"


class Rank(NamedTuple):
    """A living rank: the process that works, not its guard."""

    pid: int
    number: int
    is_replacement: bool


def living(mark: str) -> list[int]:
    """Processes whose environment carries the mark."""
    return [pid for pid in _pids() if mark.encode() in _environment(pid)]


def ranks(mark: str) -> list[Rank]:
    """The ranks of a marked run. Those of Open MPI 5 have a guard, which is their parent and has
    their number. The others are children of a launcher.
    """
    found = []
    for pid in _pids():
        environment = dict(_pairs(_environment(pid)))
        if environment.get(MARK) != mark:
            continue
        if "ESENGINE_REPLACEMENT" in environment:
            found.append(Rank(pid, int(environment["ESENGINE_REPLACEMENT"]), True))
            continue
        name = "PMI_RANK" if "PMI_RANK" in environment else "OMPI_COMM_WORLD_RANK"
        if name not in environment:
            continue
        parent = dict(_pairs(_environment(_parent(pid))))
        if name == "PMI_RANK" or _OPEN_MPI_4 in environment:
            is_rank = name not in parent
        else:
            names = ("PMIX_NAMESPACE", "PMIX_RANK")
            is_rank = all(parent.get(each) == environment.get(each) for each in names)
        if is_rank:
            found.append(Rank(pid, int(environment[name]), False))
    return sorted(found, key=lambda rank: rank.number)


def workers(mark: str) -> list[Rank]:
    """All ranks but the master."""
    return [rank for rank in ranks(mark) if rank.number > 0]


def team_ranks(mark: str) -> list[int]:
    """The ranks of teams of a marked run."""
    program = b"esengine.launch.training.team_rank"
    return [
        pid
        for pid in living(mark)
        if program in _command(pid) and b"OMPI_COMM_WORLD_RANK=" in _environment(pid)
    ]


def guard_of(rank: Rank) -> int:
    """The parent of a living rank."""
    pid = _parent(rank.pid)
    assert pid > 1, "the rank has ended"
    return pid


def kill(pids: Iterable[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to processes, of which some may have ended."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def wait_for_the_end(mark: str, seconds: float = 15.0) -> list[int]:
    """Wait until no marked process is left; returns those that are all the same."""
    deadline = time.monotonic() + seconds
    while (left := living(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _pairs(environment: bytes) -> Iterable[tuple[str, str]]:
    for item in environment.split(b"\0"):
        name, separator, value = item.decode(errors="replace").partition("=")
        if separator:
            yield name, value
