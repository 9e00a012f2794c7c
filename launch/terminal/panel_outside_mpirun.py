"""Shows a run on the terminal of the user's own mpirun, from outside its launch; `audience` starts
it.

Run: ``python -m esengine.launch.terminal.panel_outside_mpirun RUN NUM_STARTS AFTER MPIRUN DRAWS``.
On standard input come the numbers of signals that the master gets; it ends with the master, and
with the copy of it that saves the state.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from esengine.launch.runs.outcomes import report_end
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.terminal.choose_output import is_in_foreground
from esengine.launch.terminal.metrics_follower import showing
from esengine.launch.terminal.panel import Display
from esengine.ranks.signals import StopRequest

_POLL_S = 0.1


def narrate(directory: RunDirectory, num_starts: int, after: int, mpirun: int, draws: bool) -> None:
    """Show a start of a run until its master is gone, and say how it ended.

    Nothing is drawn while the shell has taken the terminal from mpirun, nor while the state is
    saved.

    Args:
        directory: the run.
        num_starts: its starts before this one.
        after: the newest generation that was there before.
        mpirun: its process.
        draws: whether to; otherwise the master prints lines elsewhere, and only what a signal
            leaves is said here.
    """
    config = directory.config()
    stop = StopRequest()
    display = Display(config, directory.path, Console(highlight=False), stop)
    look = showing(directory, display, num_starts, after)
    is_over = False
    while not is_over:
        has_terminal = draws and not stop and is_in_foreground(mpirun)
        with display if has_terminal else nullcontext():
            while not is_over and (draws and not stop and is_in_foreground(mpirun)) == has_terminal:
                if select.select([0], [], [], _POLL_S)[0]:
                    heard = os.read(0, 1)
                    is_over = not heard
                    stop.received = signal.Signals(heard[0]).name if heard else stop.received
                look()
    if draws or stop:
        report_end(directory, num_starts, config.train.quiet, stopped=bool(stop))


if __name__ == "__main__":
    path, *numbers = sys.argv[1:]
    num_starts, after, mpirun, draws = map(int, numbers)
    narrate(RunDirectory.open(Path(path)), num_starts, after, mpirun, bool(draws))
