"""``esengine watch``: shows a run from another shell or host by the files of its folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from esengine.checks import positive
from esengine.errors import UserError, printable, shown
from esengine.launch.runs.json_lines import LINE_BYTES, Row
from esengine.launch.runs.outcomes import DONE, FAILED, OUTCOMES, how_to_resume
from esengine.launch.runs.rows import parse_row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_set import is_set
from esengine.launch.runs.run_state import State, state_of
from esengine.launch.runs.trackers import MlflowCallback, WandbCallback, flat_settings
from esengine.launch.settings.flags import parse_with_argument
from esengine.launch.terminal.panel import Display, duration
from esengine.launch.terminal.set_view import watch_set
from esengine.ranks import StopRequest
from esengine.storage.files import opened


class Follower:
    """Passes each new row of a run on once.

    Args:
        path: the run directory.
        show: called with each row; may be replaced between calls.
        after: the last generation that was shown already.
    """

    def __init__(self, path: Path, show: Callable[[Row], None], after: int = 0) -> None:
        self.show = show
        self._path = path / "metrics.jsonl"
        self._generation = after
        self._inode = 0
        self._offset = 0

    def __call__(self) -> None:
        """Pass on the rows since the last call, except a last line that is not complete yet."""
        with suppress(OSError, ValueError), opened(self._path) as file:  # not begun, or replaced
            status = os.fstat(file.fileno())
            # A resumed run replaces the file.
            if status.st_ino != self._inode or status.st_size < self._offset:
                self._inode = status.st_ino
                self._offset = 0
            file.seek(self._offset)
            while line := file.readline(LINE_BYTES):
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                row = parse_row(line)
                if row is not None and row["generation"] > self._generation:
                    self._generation = row["generation"]
                    self.show(row)


@dataclass(frozen=True)
class WatchSettings:
    """Show the progress of a run from its files, in any shell and on any host."""

    once: bool = False
    """Show the run's state once instead of following it."""
    interval: float = 1.0
    """Seconds between two reads of the files."""
    wandb: str | None = None
    """Also log every row to this project of Weights & Biases; WANDB_MODE=offline needs no network.
    """
    mlflow: str | None = None
    """Also log every row to this tracking URI of MLflow, such as sqlite:///mlflow.db or a folder.
    """

    def check(self) -> None:
        """Raises UserError for an interval that is not positive, and for two places to log to."""
        positive(self, "interval")
        if self.wandb is not None and self.mlflow is not None:
            raise UserError("watch logs to one place, got --wandb and --mlflow; drop one")


def watch_command(argv: list[str], stop: StopRequest) -> int:
    """Show a run; returns its exit status. Raises UserError for a folder that holds no run."""
    run, settings = parse_with_argument(
        WatchSettings, argv, "esengine watch", "run", "The run directory."
    )
    if is_set(run):
        if settings.wandb is not None or settings.mlflow is not None:
            raise UserError(f"watch logs one run at a time, got the set {run}; name a run in it")
        settings.check()
        return watch_set(run, settings.once, settings.interval, stop)
    return watch(run, settings, stop)


def watch(
    path: Path, settings: WatchSettings, stop: StopRequest, console: Console | None = None
) -> int:
    """Show the run until it ends or a signal arrives; returns its exit status, 0 while it runs.

    Args:
        path: the run directory.
        settings: how to watch.
        stop: whether Ctrl-C has arrived.
        console: where to print; default standard output.

    Raises:
        UserError: the folder is no run.
    """
    settings.check()
    directory = RunDirectory.open(path)
    display = Display(directory.config().with_train(quiet=False), path, console)
    with tracking(directory, settings) as track:
        return _watch(directory, display, settings, stop, track)


@contextmanager
def tracking(directory: RunDirectory, settings: WatchSettings) -> Iterator[Callable[[Row], None]]:
    """What logs the rows of a run elsewhere, as the settings ask. Raises UserError if a package is
    missing.
    """
    config = flat_settings(directory.config().to_json())
    name = directory.path.resolve().name
    tracker: WandbCallback | MlflowCallback
    if settings.wandb is not None:
        tracker = WandbCallback(project=settings.wandb, name=name, config=config)
    elif settings.mlflow is not None:
        tracker = MlflowCallback(config, settings.mlflow, run_name=name)
    else:
        yield lambda row: None
        return
    try:
        yield tracker
    finally:
        tracker.close()


def _watch(
    directory: RunDirectory,
    display: Display,
    settings: WatchSettings,
    stop: StopRequest,
    track: Callable[[Row], None],
) -> int:
    """Show the run, and log its rows; returns the exit status."""

    def recall(row: Row) -> None:
        display.recall(row)
        track(row)

    def show(row: Row) -> None:
        display(row)
        track(row)

    follower = Follower(directory.path, recall)
    follower()
    is_terminal = display.console.is_terminal
    if settings.once:
        display.console.print(display if is_terminal else display.line(), soft_wrap=True)
        return _print_state(display, state_of(directory), directory)

    follower.show = show
    if not is_terminal:
        display.console.print(display.line(), soft_wrap=True)
    with display:
        while (state := state_of(directory)) in ("waiting", "running") and not stop:
            time.sleep(settings.interval)
            follower()
            if display.is_waiting and directory.is_compiling(num_starts=0):
                display.compiling()
        follower()  # the rows between the last read and the end
    return _print_state(display, state, directory)


def _print_state(display: Display, state: State, directory: RunDirectory) -> int:
    """Print the run's state and what to do; returns the exit status."""
    go_on = f"resume with: {how_to_resume(directory)}"
    age = _age(directory)
    texts: dict[State, str] = {
        "waiting": "not started yet",
        "running": f"running; {age}",
        "killed": f"killed without a word, {age}; {go_on}",
        "gone": f"{directory.path} is gone: it was moved or removed; watch it where it is now",
        "done": _finished(directory) if state == "done" else "",
        "stopped": f"stopped with a checkpoint; {go_on}",
        "failed": f"failed; the job's own output tells why; {go_on}",
        "refused": f"refused; the job's own output tells why; {go_on}",
    }
    display.console.print(printable(texts[state]), soft_wrap=True, markup=False)
    return {"waiting": DONE, "running": DONE, "killed": FAILED, "gone": FAILED, **OUTCOMES}[state]


def _age(directory: RunDirectory) -> str:
    try:
        age_s = time.time() - (directory.path / "metrics.jsonl").stat().st_mtime
    except OSError:
        return "no generation has ended yet"
    return f"the last generation ended {duration(max(0.0, age_s))} ago"


def _finished(directory: RunDirectory) -> str:
    done = directory.done_if_whole()
    if done is None:
        return f"finished, but without done.json; write it with: {how_to_resume(directory)}"
    text = f"finished: {shown(done['reason'])}"
    if done.get("final_return") is not None:
        text += (
            f"; return {done['final_return']:.2f} over "
            f"{directory.config().train.final_episodes} fresh episodes"
        )
    elif done.get("best_fitness") is not None:
        sign = -1 if directory.config().train.minimize else 1
        text += f"; best value {sign * done['best_fitness']:.6g}"
    return text
