"""One start of a program: its environment, its processor cores, its time, and how it ended."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from esengine.errors import MemberError
from esengine.ranks import World
from esengine.ranks.launch_variables import without_launch
from esengine.storage.files import read_end

STDOUT_FILE = "stdout.txt"
STDERR_FILE = "stderr.txt"
_TAIL_BYTES = 2000  # of each stream, for the record of a failure
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def environment_of_program(threads: int) -> dict[str, str]:
    """The environment of a program: no variable of MPI's launcher or of Slurm, so that it is a
    world of its own, and ``threads`` threads.
    """
    return without_launch(os.environ) | dict.fromkeys(_THREADS, str(threads))


def run_program(
    words: Sequence[str], folder: Path, environment: dict[str, str], time_out: float | None
) -> None:
    """Run a program in a folder until it ends; its output goes to files there.

    Whatever it has started in its process group is killed with it, if it takes too long or this
    process is interrupted.

    Args:
        words: the program and its arguments.
        folder: its working folder.
        environment: its variables.
        time_out: seconds that it may take, or None.

    Raises:
        MemberError: it cannot be started, takes too long, or ends with another status than 0.
    """
    with open(folder / STDOUT_FILE, "wb") as out, open(folder / STDERR_FILE, "wb") as errors:
        try:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=errors,
                process_group=0,  # a session of its own would wait for its turn on a busy machine
            )
        except OSError as error:
            raise MemberError(f"{words[0]} cannot be started: {error.strerror}") from error
    try:
        has_ended = _wait(process, time_out)
    finally:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    if not has_ended:
        raise MemberError(
            f"{words[0]} was killed, since it took longer than --member-timeout {time_out:g} s"
            f"{tail_of(folder)}"
        )
    if process.returncode:
        raise MemberError(f"{words[0]} {_end_of(process.returncode)}{tail_of(folder)}")


def _wait(process: subprocess.Popen[bytes], time_out: float | None) -> bool:
    """Wait for the end of a process; returns False if its time is over before."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(None if time_out is None else 1000 * time_out))
    finally:
        os.close(descriptor)
        process.poll()


def _end_of(status: int) -> str:
    if status > 0:
        return f"ended with exit status {status}"
    hint = ", as when memory runs out" if status == -signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-status).name}{hint}"


def tail_of(folder: Path) -> str:
    """The end of what a program printed, for a message."""
    parts = []
    for name in (STDERR_FILE, STDOUT_FILE):
        with suppress(OSError, ValueError):
            image = read_end(folder / name, _TAIL_BYTES)
            text = image.decode(errors="replace").strip()
            if text:
                parts.append(f"\n{name} ends with:\n{text}")
    return "".join(parts) or "; it printed nothing"


def bind_worker(world: World, threads: int) -> None:
    """Give a worker processor cores of its own, if its node has enough; its programs inherit
    them.
    """
    if world.size == 1 or world.is_master or world.is_replacement:
        return
    shares = 0 in next(ranks for ranks in world.nodes if world.rank in ranks)  # with the master
    index = world.node_rank - int(shares)
    workers = world.node_size - int(shares)
    cores = os.sched_getaffinity(0)
    own = cores_of_worker(index, threads, sorted(cores))
    if own is not None and workers * threads <= len(cores):
        os.sched_setaffinity(0, own)


def cores_of_worker(index: int, threads: int, cores: Sequence[int]) -> list[int] | None:
    """The processor cores of one worker of a node, which its programs inherit: without them every
    nested mpirun would bind its ranks from the first core on.

    Args:
        index: of the worker on its node, from 0.
        threads: cores of a worker.
        cores: those that this process may use.

    Returns:
        (threads,) cores, or None if there are not enough for this worker.
    """
    own = sorted(cores)[index * threads : (index + 1) * threads]
    return own if len(own) == threads else None
