"""The display of a run: a live panel on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from esengine.launch.runs.json_lines import Row
from esengine.launch.settings.config import RunConfig
from esengine.launch.terminal.output import marked
from esengine.launch.terminal.progress import Progress
from esengine.ranks import StopRequest
from esengine.storage.files import read_json

_PLAIN_S = 2.0  # between plain lines without an evaluation
_COMPILING = "compiling kernels (once for this machine)"
_BLOCKS = "▁▂▃▄▅▆▇█"


def console_here() -> Console:
    """The console of standard output. In a cell of a notebook, a command has a pseudo-terminal that
    moves no cursor, so it is no terminal.
    """
    in_cell = {"JPY_PARENT_PID", "FORCE_COLOR"} <= os.environ.keys()  # as ipykernel sets them
    return Console(highlight=False, force_terminal=False if in_cell else None)


class Display:
    """Shows the rows of a run as they come.

    Args:
        config: the run's settings.
        path: the run directory, named in the heading.
        console: where to print; default standard output.
        stop: whether a signal has arrived.
    """

    def __init__(
        self,
        config: RunConfig,
        path: Path,
        console: Console | None = None,
        stop: StopRequest | None = None,
    ) -> None:
        self.config = config
        self.path = path
        self.quiet = config.train.quiet
        self.progress = Progress(config)
        self.console = console or console_here()
        self._last_print = 0.0
        self._live: Live | None = None
        self._stop = StopRequest() if stop is None else stop
        self._spinner = Spinner("dots", Text("the first one is being evaluated", style="italic"))
        self._is_compiling = False
        self._shown_at = time.monotonic()
        self._recorded_at = 0  # when the run's record was changed
        self._concluding = False

        if not self.quiet and not self.console.is_terminal:
            self.console.print(f"{self._title()}, in {marked(path)}", soft_wrap=True)

    def __enter__(self) -> Display:
        if not self.quiet and self.console.is_terminal:
            self._live = Live(self, console=self.console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)
            self._live = None

    def __call__(self, row: Row) -> None:
        """Show a generation's row."""
        self.recall(row)
        if self.quiet or self._live is not None:  # the live panel draws itself
            return
        if "episode_return_eval" in row or time.monotonic() - self._last_print > _PLAIN_S:
            self._last_print = time.monotonic()
            self.console.print(self.line(), soft_wrap=True)

    def recall(self, row: Row) -> None:
        """Add a row without printing a line for it."""
        self.progress.add(row)
        self._shown_at = time.monotonic()

    @property
    def is_waiting(self) -> bool:
        """Whether there is no row yet, and no notice of kernels that are compiled."""
        return self.progress.row is None and not self._is_compiling

    def compiling(self) -> None:
        """Show that the first row waits for kernels."""
        self._is_compiling = True
        self._spinner.update(text=Text(_COMPILING, style="italic"))
        if not self.quiet and not self.console.is_terminal:
            self.console.print(_COMPILING)

    def line(self) -> str:
        """The newest row in one line."""
        row = self.progress.row
        if row is None:
            return "waiting for the first generation"

        parts = [f"generation {row['generation']}", *self._returns()]
        if "sigma" in row:
            parts.append(f"sigma {_short(row['sigma'])}")
        parts += _archive(row)
        parts += self._rates()
        if row.get("failed_members"):
            parts.append(f"[red]failed {row['failed_members']}[/red]")
        left_s = self.progress.left_s()
        if left_s:
            parts.append(f"left {duration(left_s)}")
        return "  ".join(parts)

    def __rich__(self) -> Panel:
        """The live panel, which is drawn several times a second so that its clock runs."""
        body = Table.grid(padding=(0, 2), expand=True)
        body.add_column(style="dim", no_wrap=True)
        body.add_column(ratio=1)
        row = self.progress.row
        if row is None:
            body.add_row("generation", self._spinner)
        else:
            self._add_lines(body, row)
        if self._is_concluding():
            count = self.config.train.final_episodes
            self._spinner.update(text=Text(f"the final policy runs {count} fresh episodes"))
            body.add_row("evaluation", self._spinner)
        body.add_row("checkpoint", self._checkpoint())

        where = marked(self.path)
        return Panel(
            body, title=self._title(), subtitle=where, title_align="left", subtitle_align="right"
        )

    def _is_concluding(self) -> bool:
        """Whether the run's record says that its last evaluation has begun."""
        record = self.path / "config.json"
        with suppress(OSError, ValueError, LookupError, TypeError):
            changed = record.stat().st_mtime_ns
            if changed != self._recorded_at:
                self._recorded_at = changed
                start = read_json(record)["starts"][-1]
                self._concluding = bool(start.get("concluding")) and "outcome" not in start
            return self._concluding
        return False

    def _add_lines(self, body: Table, row: Row) -> None:
        amount = f"{row.get('evaluations', 0):,} evaluations"
        if row.get("env_steps"):
            amount = f"{row['env_steps']:,} steps"
        subject = "value" if self.config.train.is_function else "return"
        body.add_row("generation", self._bar(row))
        body.add_row(subject, "   ".join(self._returns()))
        body.add_row("", Text(sparkline(self.progress.history), style="cyan"))
        body.add_row("speed", "   ".join([*self._rates(), amount]))
        body.add_row("search", "   ".join(self._search(row)))
        if _archive(row):
            body.add_row("archive", "   ".join(_archive(row)))
        failed = f"[red]{row.get('failed_members', 0)} of this generation[/red]"
        in_all = self.progress.failed_members
        body.add_row("failed", f"{failed}, {in_all} in all" if in_all else "none")

    def _title(self) -> str:
        train = self.config.train
        method, what = marked(self.config.method), marked(train.task)
        return f"[bold]{method}[/bold] on [bold]{what}[/bold], seed {train.seed}"

    def _bar(self, row: Row) -> Table:
        since_s = time.monotonic() - self._shown_at if self._live is not None else 0.0
        times = duration(self.progress.elapsed_s + since_s)
        left_s = self.progress.left_s()
        if left_s is not None:
            at_most = "at most " if self.config.train.target_return is not None else ""
            times += f", left {at_most}{duration(max(0.0, left_s - since_s))}"

        line = Table.grid(padding=(0, 2), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(no_wrap=True)
        last = self.config.train.max_generations
        count = f"[bold]{row['generation']}[/bold]" + ("" if last is None else f"/{last}")
        line.add_row(count, ProgressBar(total=1.0, completed=self.progress.share()), times)
        return line

    def _returns(self) -> list[str]:
        row = self.progress.row or {}
        mean = row.get("fitness_mean")
        if self.config.train.minimize:
            return [f"mean cost {_short(mean, -1)}", f"best cost {_short(self.progress.best, -1)}"]

        figures = [f"mean {_short(mean)}", f"best {_short(row.get('fitness_max'))}"]
        if "loss" in row:
            losses = [name for name in ("loss", "loss_held_out", "labels") if name in row]
            figures = [f"{name.replace('_', ' ')} {_short(row[name])}" for name in losses]
        evaluated = self.progress.evaluated
        if evaluated is not None:
            age = "" if evaluated is row else f" (generation {evaluated['generation']})"
            mean_return = _short(evaluated["episode_return_eval"])
            figures.append(f"[bold]evaluated {mean_return}[/bold]{age}")
        return figures

    def _rates(self) -> list[str]:
        row = self.progress.row or {}
        machine = row.get("machine", {})
        unit = "steps" if row.get("env_steps") else "evaluations"
        works = "steps_per_s" in machine and (row.get("env_steps") or row.get("evaluations"))
        figures = [f"{machine['steps_per_s']:,.0f} {unit}/s"] if works else []
        if "busy_share" in machine:
            figures.append(f"busy {machine['busy_share']:.0%}")
        return figures

    def _search(self, row: Row) -> list[str]:
        figures = [
            f"{name.replace('_', ' ')} {_short(row[name])}"
            for name in ("sigma", "axis_ratio")
            if name in row
        ]
        if "population_size" in row:
            figures.append(f"population {row['population_size']:,}")
        workers = row.get("machine", {}).get("workers")
        if workers:
            figures.append(f"workers {workers}")
        return figures

    def _checkpoint(self) -> str:
        if self._stop.received is not None:
            return "[bold]stopping: what is done is being saved[/bold]"
        following = self.progress.next_checkpoint()
        if following is None:
            return "at the end"

        text = f"after generation {following}"
        seconds = self.progress.seconds_per_generation()
        left = following - self.progress.generation
        return (
            text if seconds is None or left <= 0 else f"{text}, in about {duration(left * seconds)}"
        )


def _archive(row: Row) -> list[str]:
    """The figures of an archive, if the method has one."""
    if row.get("qd_score") is None or row.get("coverage") is None:
        return []
    figures = [f"coverage {row['coverage']:.1%}", f"QD score {row['qd_score']:.6g}"]
    if row.get("corrected_qd_score") is not None:
        figures.append(f"corrected {row['corrected_qd_score']:.6g}")
    return figures


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, whole = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{whole:02}"


def sparkline(values: Sequence[float]) -> str:
    """A curve of one line of text, one character per value."""
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return ""
    low, high = min(values), max(values)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BLOCKS[round((value - low) * scale)] for value in values)


def _short(value: float | None, sign: int = 1) -> str:
    return "-" if value is None else f"{sign * value:.4g}"
