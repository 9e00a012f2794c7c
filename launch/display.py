"""What a run shows on the terminal: a live line where there is one, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from esengine.launch.config import RunConfig

Row = dict[str, Any]


class Display:
    """Shows the rows of a run as they come.

    Args:
        config: the run's settings.
        path: the run directory, named in the heading.
        console: where to print; tests give their own.
    """

    def __init__(self, config: RunConfig, path: Path, console: Console | None = None) -> None:
        self.config, self.quiet = config, config.train.quiet
        self.console = console or Console(highlight=False)
        self._last_print = 0.0
        self._last_eval: float | None = None
        self._live: Live | None = None
        self._progress = Progress(
            TextColumn("generation {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            TextColumn("left at most"),
            TimeRemainingColumn(),
            console=self.console,
            expand=True,
        )
        self._task = self._progress.add_task("", total=config.train.max_generations)
        if not self.quiet:
            what = config.train.env_id or config.train.objective
            self.console.print(
                f"[bold]{config.method}[/bold] on [bold]{escape(str(what))}[/bold], "
                f"seed {config.train.seed}, in {escape(str(path))}",
                soft_wrap=True,
            )

    def __enter__(self) -> Display:
        if not self.quiet and self.console.is_terminal:
            self._live = Live(self._progress, console=self.console, refresh_per_second=4)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def __call__(self, row: Row) -> None:
        """Show a generation's row."""
        self._last_eval = row.get("episode_return_eval", self._last_eval)
        if self.quiet:
            return
        if self._live is not None:
            self._progress.update(self._task, completed=row["generation"])
            table = Table.grid(expand=True)
            table.add_row(self._progress)
            table.add_row("  ".join(self._figures(row)))
            self._live.update(table)
        elif "episode_return_eval" in row or time.monotonic() - self._last_print > 2.0:
            self._last_print = time.monotonic()
            self.console.print(f"generation {row['generation']}  " + "  ".join(self._figures(row)), soft_wrap=True)

    def _figures(self, row: Row) -> list[str]:
        figures = []
        if self.config.train.minimize:
            figures.append(f"best cost {_short(row.get('cost_min'))}")
        elif "loss" in row:
            figures += [
                f"{name.replace('_', ' ')} {_short(row[name])}" for name in ("loss", "loss_held_out", "labels") if name in row
            ]
        else:
            figures += [f"mean {_short(row.get('fitness_mean'))}", f"best {_short(row.get('fitness_max'))}"]
        if self._last_eval is not None:
            figures.append(f"[bold]evaluated {_short(self._last_eval)}[/bold]")
        if "sigma" in row:
            figures.append(f"sigma {_short(row['sigma'])}")
        machine = row["machine"]
        unit = "steps" if row["env_steps"] else "evaluations"
        if "busy_share" in machine:
            figures.append(f"{machine['steps_per_s']:,.0f} {unit}/s")
            figures.append(f"busy {machine['busy_share']:.0%}")
        if row["failed_members"]:
            figures.append(f"[red]failed {row['failed_members']}[/red]")
        return figures


class Follower:
    """Feeds a display from the rows that another process appends to ``metrics.jsonl``."""

    def __init__(self, path: Path, display: Display, after: int) -> None:
        """Args: the run directory, where rows go, and the last generation that was shown already."""
        self._path, self._display, self._generation = path / "metrics.jsonl", display, after
        self._inode, self._offset = 0, 0

    def __call__(self) -> None:
        """Show the rows that have come since the last call."""
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:  # replaced by a resumed run
                self._inode, self._offset = inode, 0
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return  # half written; it will be whole at the next call
                self._offset += len(line)
                row = json.loads(line)
                if row["generation"] > self._generation:
                    self._generation = row["generation"]
                    self._display(row)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
