"""A set of runs as a table, the best first: printed once, or live on a terminal."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import suppress
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from esengine.errors import UserError, put
from esengine.launch.runs.outcomes import DONE, FAILED, STOPPED
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_set import directories_of
from esengine.launch.runs.run_state import State, state_of
from esengine.launch.terminal.output import marked
from esengine.launch.terminal.panel import console_here
from esengine.ranks import StopRequest

COLUMNS = ("run", "state", "generation", "result")
_AGAIN_S = 1.0  # between two reads of the files
_WIDTH = 200  # of the table where there is no terminal


class SetView:
    """Shows the runs of a set while other processes carry them out.

    Args:
        path: the folder of the set.
        quiet: whether to show nothing.
        console: where to print; default standard output.
    """

    def __init__(self, path: Path, quiet: bool, console: Console | None = None) -> None:
        self._directories = directories_of(path)
        self._console = console or console_here()
        self._shown_at = 0.0
        self._ended: set[Path] = set()
        self._live: Live | None = None
        self._quiet = quiet

    def __enter__(self) -> SetView:
        if not self._quiet and self._console.is_terminal:
            self._live = Live(Group(), console=self._console, refresh_per_second=1, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def update(self) -> None:
        """Show what has changed; a terminal gets the table, other outputs a line for each run that
        has ended.
        """
        if self._quiet or time.monotonic() - self._shown_at < _AGAIN_S:
            return
        self._shown_at = time.monotonic()
        if self._live is not None:
            self._live.update(table_of(self._directories))
            return
        for directory in self._directories:
            with suppress(UserError):
                state = state_of(directory)
                if state not in ("waiting", "running") and directory.path not in self._ended:
                    self._ended.add(directory.path)
                    put(f"{directory.path.name}: {state}", flush=True)

    @property
    def is_over(self) -> bool:
        """Whether no run waits or runs."""
        return all(state_of(each) not in ("waiting", "running") for each in self._directories)

    @property
    def states(self) -> list[State]:
        """The state of each run."""
        return [state_of(directory) for directory in self._directories]

    @staticmethod
    def text_of(path: Path) -> str:
        """The table as text."""
        console = Console(width=_WIDTH, color_system=None, highlight=False)
        with console.capture() as captured:
            console.print(table_of(directories_of(path)))
        lines = captured.get().splitlines()
        return "\n".join(line.rstrip() for line in lines)


def watch_set(path: Path, once: bool, interval: float, stop: StopRequest) -> int:
    """Show a set until its runs have ended or a signal arrives; returns the exit status, 0 while
    they run.

    Args:
        path: the folder of the set.
        once: show its state once.
        interval: seconds between two reads of the files.
        stop: whether Ctrl-C has arrived.
    """
    with SetView(path, quiet=False) as view:
        while not (once or stop or view.is_over):
            view.update()
            time.sleep(interval)
    put(SetView.text_of(path), flush=True)
    states = view.states
    if any(state in ("failed", "refused", "killed", "gone") for state in states):
        return FAILED
    return STOPPED if "stopped" in states else DONE


def table_of(directories: list[RunDirectory]) -> Table:
    """The `lines_of_set` as a table."""
    table = Table(box=None, pad_edge=False)
    for column in COLUMNS:
        table.add_column(column, no_wrap=True)
    for cells in lines_of_set(directories):
        table.add_row(*map(marked, cells))
    return table


def lines_of_set(directories: list[RunDirectory]) -> list[tuple[str, ...]]:
    """For each run its name, its state, how far it is, and what it has reached; the best first."""
    lines = [_line(directory) for directory in directories]
    return [cells for _, cells in sorted(lines, key=lambda line: line[0])]


def _line(directory: RunDirectory) -> tuple[float, tuple[str, ...]]:
    """The place of a run in the order, and its cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `watch` of the run says them
        rows = directory.last_rows()
        value, is_cost = result_of_run(directory)
    generation = str(rows[-1]["generation"]) if rows else ""
    text = "" if value is None else f"{value:.6g}"
    place = math.inf if value is None else (value if is_cost else -value)
    return place, (directory.path.name, state_of(directory), generation, text)


def result_of_run(directory: RunDirectory) -> tuple[float | None, bool]:
    """What a run has reached so far, and whether lower is better: the best value of an objective,
    or the last return that was evaluated.
    """
    train = directory.config().train
    if train.is_function:
        with suppress(OSError, ValueError, KeyError, UserError):
            return float(directory.best()["value"]), train.minimize
        return None, train.minimize
    done = directory.done_if_whole() or {}
    if done.get("final_return") is not None:
        return float(done["final_return"]), False
    found = [
        row["episode_return_eval"]
        for row in directory.last_rows()
        if row.get("episode_return_eval") is not None
    ]
    return (found[-1] if found else None), False
