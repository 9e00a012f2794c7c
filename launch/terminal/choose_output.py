"""Who shows a run that this process carries out: this process, its launcher, or a narrator on the
terminal of another mpirun.

Open MPI's mpirun gives every rank a pseudo-terminal of its own, wherever it writes to itself: to a
file as well as to a screen. So a rank's standard output does not tell who reads. After Ctrl-C
mpirun passes nothing on any more, and kills its ranks a third of a second later, so a rank has no
last word either. Therefore a rank shows no panel. Where mpirun itself writes to a terminal, the
master starts a `narrator` there, a process that mpirun does not know; elsewhere it prints plain
lines, and where mpirun's standard error is a terminal, a narrator says there what a signal leaves.
"""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import NamedTuple

from rich.console import Console

from esengine.launch.mpirun.local_ranks import launched_by_us, path_of_modules
from esengine.launch.runs.metrics_file import Row
from esengine.launch.runs.run_directory import RunDirectory, newest_generation
from esengine.launch.settings.config import RunConfig
from esengine.launch.terminal.panel import Display
from esengine.ranks.signals import StopRequest

_RANK_VARIABLE = "OMPI_COMM_WORLD_RANK"
_PATIENCE_S = 10.0  # for the narrator's last words


class Audience(NamedTuple):
    """What the master has to tell.

    Attributes:
        callbacks: to be called with every row.
        compiling: to be called when kernels are compiled.
        is_here: whether this process has to say how the run ended; otherwise somebody reads it in
            the run's records.
    """

    callbacks: tuple[Callable[[Row], None], ...]
    compiling: Callable[[], None]
    is_here: bool


@contextmanager
def shown(directory: RunDirectory, config: RunConfig, stop: StopRequest) -> Iterator[Audience]:
    """Have a run shown while the ``with`` block carries it out."""
    elsewhere = Audience((), directory.note_compiling, False)
    if launched_by_us():
        yield elsewhere
        return
    mpirun = None if config.train.quiet else find_mpirun_above()
    terminal = None if mpirun is None else open_terminal(mpirun, output=1)
    if mpirun is not None and terminal is not None:
        with _narrated(directory, mpirun, terminal, draws=True):
            yield elsewhere
        return
    errors = None if mpirun is None else open_terminal(mpirun, output=2)
    console = Console(
        highlight=False, force_terminal=False if _RANK_VARIABLE in os.environ else None
    )
    narrated = (
        nullcontext()
        if mpirun is None or errors is None
        else _narrated(directory, mpirun, errors, draws=False)
    )
    with narrated, Display(config, directory.path, console, stop) as display:

        def compiling() -> None:
            directory.note_compiling()
            display.compiling()

        yield Audience((display,), compiling, True)


def find_mpirun_above() -> int | None:
    """The process of the mpirun that gave this rank its terminal; None where there is none.

    A program between mpirun and this rank, such as a shell, has the rank's standard output; mpirun
    is the first ancestor with another one. On another machine than mpirun's it is mpirun's daemon.
    """
    if _RANK_VARIABLE not in os.environ or not os.isatty(1):
        return None
    process, own = os.getpid(), os.readlink("/proc/self/fd/1")
    with suppress(OSError):
        while os.readlink(f"/proc/{process}/fd/1") == own:
            process = int(_status_of(process)[1])
        return process
    return None


def open_terminal(process: int, output: int) -> int | None:
    """The terminal that is standard output (1) or standard error (2) of a process; None where that
    is something else.
    """
    path = f"/proc/{process}/fd/{output}"
    with suppress(OSError):
        if stat.S_ISCHR(os.stat(path).st_mode):
            terminal = os.open(path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
            if os.isatty(terminal):
                return terminal
            os.close(terminal)
    return None


def is_in_foreground(process: int) -> bool:
    """Whether the shell lets a process have its terminal, or nothing is known of it."""
    try:
        group, terminals_group = _status_of(process)[2], _status_of(process)[5]
    except OSError:
        return True
    return terminals_group in (group, "-1")


def _status_of(process: int) -> list[str]:
    """State, parent, group, session, terminal, the terminal's group in the foreground, and more;
    see proc(5).
    """
    with open(f"/proc/{process}/stat") as file:
        return file.read().rpartition(")")[2].split()


@contextmanager
def _narrated(directory: RunDirectory, mpirun: int, terminal: int, draws: bool) -> Iterator[None]:
    """Have a narrator tell of the run on ``terminal`` until this process, and a copy that saves its
    state, are gone.
    """
    num_starts, after = len(directory.starts()) - 1, newest_generation(directory)
    arguments = [
        str(directory.path),
        *(str(int(number)) for number in (num_starts, after, mpirun, draws)),
    ]
    narrator = subprocess.Popen(
        [sys.executable, "-P", "-m", "esengine.launch.terminal.panel_outside_mpirun", *arguments],
        stdin=subprocess.PIPE,  # ends with this process
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "PYTHONPATH": path_of_modules()},
        start_new_session=True,  # whoever ends the group of a rank does not end it
    )
    os.close(terminal)
    assert narrator.stdin is not None
    os.set_blocking(narrator.stdin.fileno(), False)
    signal.set_wakeup_fd(
        narrator.stdin.fileno(), warn_on_full_buffer=False
    )  # it hears of signals at once, whatever we do
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        narrator.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            narrator.wait(_PATIENCE_S)
