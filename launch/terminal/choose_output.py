"""How a run is shown: by its launcher, as a panel, or in plain lines."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from rich.console import Console

from esengine.errors import printable
from esengine.launch.mpirun.local_ranks import launched_by_us
from esengine.launch.runs.outcomes import how_to_resume
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.terminal.panel import Display
from esengine.launch.terminal.watch import Follower
from esengine.ranks import StopRequest
from esengine.ranks.launch_variables import is_launched


def choose_display(directory: RunDirectory, config: RunConfig, stop: StopRequest) -> Display:
    """The display for the process that carries a run out.

    A launcher of ours shows the run itself. A process without a launcher shows a panel on its
    terminal. Under an mpirun that the user started it prints plain lines.
    """
    path = directory.path
    if launched_by_us():
        return Display(config.with_train(quiet=True), path, stop=stop)
    if not is_launched():
        return Display(config, path, stop=stop)

    # Open MPI gives every rank a pseudo-terminal, also when mpirun writes to a file. After Ctrl-C
    # mpirun passes no output on, kills its ranks a tenth of a second later, and exits with 1. So a
    # rank shows no panel, and prints at its start how to resume.
    display = Display(config, path, Console(highlight=False, force_terminal=False), stop)
    if not config.train.quiet:
        panel = f"live panel, in another shell: esengine watch {shlex.quote(str(path))}"
        ending = "Ctrl-C saves a checkpoint and mpirun exits with 1; resume with"
        display.console.print(printable(panel), soft_wrap=True, markup=False)
        ending = printable(f"{ending}: {how_to_resume(directory)}")
        display.console.print(ending, soft_wrap=True, markup=False)
    return display


def showing(
    directory: RunDirectory, display: Display, num_starts: int, after: int
) -> Callable[[], None]:
    """A function that updates a display of a run; call it repeatedly.

    Args:
        directory: the run, which other processes carry out.
        display: where it is shown.
        num_starts: starts before the one to show.
        after: the newest generation before that start.
    """
    show = display.recall if display.console.is_terminal else display  # a panel draws itself
    follower = Follower(directory.folder, show, after)

    def update() -> None:
        follower()
        if display.is_waiting and directory.is_compiling(num_starts):
            display.compiling()

    return update
