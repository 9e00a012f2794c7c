"""Pictures of a run: ``curve.png`` by matplotlib, and event files for TensorBoard."""

from __future__ import annotations

import io
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from esengine.errors import readable
from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.storage.files import append_whole, replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REDRAW_S = 60.0  # a row that comes this long after the last picture draws the next one
_SIZE = (8.0, 4.5)  # inches
_LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("fitness_max", "best member", {"color": "tab:blue", "alpha": 0.35, "linewidth": 1.0}),
    ("fitness_mean", "mean of the population", {"color": "tab:blue", "linewidth": 1.2}),
    (
        "episode_return_eval",
        "policy, evaluation episodes",
        {"color": "tab:red", "marker": "o", "markersize": 3, "linewidth": 1.6},
    ),
)


class Charts:
    """Keeps the pictures of a run up to date, on the master.

    Args:
        directory: the run, whose rows are drawn.
        config: the source of titles and labels.
    """

    def __init__(self, directory: RunDirectory, config: RunConfig) -> None:
        self._directory = directory
        self._config = config
        self._events: Path | None = None  # the file of this start
        self._drawn = time.monotonic()

    def add(self, row: Row) -> None:
        """Append the numbers of a row as TensorBoard scalars, and draw the curve if the last one is
        old. Raises OSError.
        """
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        now = time.time()
        step = row["generation"]
        values = [
            Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(row).items()
        ]
        events = [Event(wall_time=now, step=step, summary=Summary(value=values))]

        path = self._events
        if path is None:
            name = f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}"
            path = self._directory.folder / name
            version = Event(wall_time=now, file_version="brain.Event:2")
            # TensorBoard drops what an earlier start wrote for this step and later ones.
            restart = SessionLog(status=SessionLog.START)
            events = [version, Event(wall_time=now, step=step, session_log=restart), *events]
        append_whole(path, _records(events))
        self._events = path

        if time.monotonic() - self._drawn > _REDRAW_S:
            self.draw()

    def draw(self) -> None:
        """Draw ``curve.png`` from the rows of the run. Raises OSError."""
        rows = self._directory.rows()
        if rows:
            draw_curve(self._directory, self._config, rows)
        self._drawn = time.monotonic()


def draw_curve(directory: RunDirectory, config: RunConfig, rows: list[Row]) -> None:
    """Draw fitness and evaluated returns, or the lowest cost, over environment steps or
    evaluations.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()

    train = config.train
    x = "env_steps" if train.objective is None else "evaluations"
    if not any(row[x] for row in rows):  # a method that only reads demonstrations
        x = "generation"

    if train.minimize:
        _draw_costs(axes, rows, x)
    else:
        for name, label, style in _LINES:
            _plot(axes, rows, x, name, label=label, **style)
        axes.set_ylabel("return of an episode" if train.objective is None else "value")

    if train.target_return is not None:
        style = {"color": "gray", "linestyle": "--", "linewidth": 1.0}
        axes.axhline(train.target_return, label="target", **style)

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel({"env_steps": "environment steps", "generation": "epochs"}.get(x, x))
    task = train.env_id or train.objective
    axes.set_title(f"{config.method} on {task}, seed {train.seed}", fontsize=11)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    if "loss" in rows[-1]:
        _draw_losses(axes.twinx(), rows, x)

    make_readable(figure)
    with replacing(directory.folder / "curve.png") as aside:
        figure.savefig(aside, format="png", dpi=120)


def make_readable(figure: Figure) -> None:
    """Let titles and legends show names as they are: no name is a formula, and none is refused by
    the font.
    """
    for axes in figure.axes:
        legend = axes.get_legend()
        for text in (axes.title, *([] if legend is None else legend.get_texts())):
            text.set_text(readable(text.get_text()))
            text.set_parse_math(False)


def _plot(axes: Axes, rows: list[Row], x: str, y: str, **style: Any) -> None:
    """Draw a line through the rows that have the number."""
    points = [(row[x], row[y]) for row in rows if row.get(y) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), **style)


def _draw_losses(axes: Axes, rows: list[Row], x: str) -> None:
    style = {"color": "tab:gray", "linewidth": 1.0}
    _plot(axes, rows, x, "loss", label="loss", linestyle="-", **style)
    _plot(axes, rows, x, "loss_held_out", label="loss, held out", linestyle="--", **style)
    if all(row["loss"] > 0 for row in rows):
        axes.set_yscale("log")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _draw_costs(axes: Axes, rows: list[Row], x: str) -> None:
    points = [
        (row[x], row["cost_min"], -row["fitness_mean"])
        for row in rows
        if row["cost_min"] is not None
    ]
    if not points:
        return

    steps, lowest, mean = zip(*points, strict=True)
    axes.plot(steps, mean, color="tab:blue", linewidth=1.2, label="mean of the population")
    axes.plot(steps, lowest, color="tab:red", linewidth=1.6, label="lowest of the generation")
    if min(lowest) > 0:
        axes.set_yscale("log")
    axes.set_ylabel("cost")


def _records(events: list[Any]) -> bytes:
    """The events as an event file holds them."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    image = io.BytesIO()
    writer = RecordWriter(image)
    for event in events:
        writer.write(event.SerializeToString())
    return image.getvalue()


def _scalars(row: Row) -> dict[str, float]:
    """The numbers of a row by tag; those of ``machine`` begin with ``machine/``."""
    machine = row["machine"]
    flat = {name: value for name, value in row.items() if name not in ("machine", "generation")}
    flat |= {f"machine/{name}": value for name, value in machine.items()}
    flat |= {f"machine/seconds/{name}": value for name, value in machine.get("seconds", {}).items()}
    return {tag: float(value) for tag, value in flat.items() if isinstance(value, int | float)}
