"""Pictures of a run: ``curve.png`` by matplotlib, and event files for TensorBoard."""

from __future__ import annotations

import io
import os
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError, in_one_line, put, readable, shown
from esengine.launch.runs.columns import Columns, thinned
from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.storage.files import append_whole, replace_lasting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHORT_RUN_S = 10.0
_LEAST_S = 1e-3  # of a generation; a hundred times what drawing its row takes
_SIZE = (8.0, 4.5)  # inches
_MOST_DRAWN = 1e100
_PLACE = (0.11, 0.12, 0.79, 0.81)  # left, bottom, width and height of the axes in the figure
_COSTS = ("cost_min", "fitness_mean")
_LOSSES = ("loss", "loss_held_out")
_LINES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("fitness_max", "best member", {"color": "tab:blue", "alpha": 0.35, "linewidth": 1.0}),
    ("fitness_mean", "mean of the population", {"color": "tab:blue", "linewidth": 1.2}),
    (
        "episode_return_eval",
        "policy, evaluation episodes",
        {"color": "tab:red", "marker": "o", "markersize": 3, "linewidth": 1.6},
    ),
)


class EventFile:
    """The file of TensorBoard's events of a start.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None

    def add(self, row: Row) -> None:
        """Append the numbers of a row as scalars. Raises OSError."""
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary

        now = time.time()
        step = row["generation"]
        values = [
            Summary.Value(tag=tag, simple_value=value) for tag, value in _scalars(row).items()
        ]
        events = [Event(wall_time=now, step=step, summary=Summary(value=values))]

        path = self._path
        if path is None:
            name = f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}"
            path = self._folder / name
            version = Event(wall_time=now, file_version="brain.Event:2")
            # TensorBoard drops what an earlier start wrote for this step and later ones.
            restart = SessionLog(status=SessionLog.START)
            events = [version, Event(wall_time=now, step=step, session_log=restart), *events]
        append_whole(path, _records(events))
        self._path = path


def draw_last(directory: RunDirectory, config: RunConfig) -> None:
    """Draw ``curve.png`` at the end of a start if `is_worth_drawing`. A run is as good without it,
    so what fails is printed.
    """
    try:
        rows = directory.last_rows()
        if rows and is_worth_drawing(rows[-1]):
            replace_lasting(directory.folder / "curve.png", curve(directory, config))
    except Exception as error:  # whatever the packages that draw raise
        put(
            f"esengine: {directory.path / 'curve.png'} cannot be drawn: "
            f"{in_one_line(f'{type(error).__name__}: {error}')}; esengine plot draws it from the "
            f"rows of the run",
            file=sys.stderr,
            flush=True,
        )


def is_worth_drawing(last: Row) -> bool:
    """Whether drawing takes a small part of the time of a run with this last row: the run took ten
    seconds, and a millisecond for every generation, since each has a row to read.
    """
    least_s = max(SHORT_RUN_S, _LEAST_S * last["generation"])
    return bool((last["machine"].get("elapsed_s") or 0.0) >= least_s)


def curve(directory: RunDirectory, config: RunConfig) -> bytes:
    """A PNG of fitness and evaluated returns, or of the lowest cost, over environment steps or
    evaluations. Raises OSError, and UserError if no generation has ended.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    train, columns = config.train, directory.columns()
    if columns.last is None:
        raise UserError(f"a curve needs a generation that has ended, got {directory.path}; wait")
    x = "evaluations" if train.is_function else "env_steps"
    if not columns.last[x]:  # a method that only reads demonstrations
        x = "generation"
    losses = _LOSSES if "loss" in columns.last else ()
    lines = _COSTS if train.minimize else [name for name, *_ in _LINES]
    columns.read(x, *lines, *losses)

    figure = Figure(figsize=_SIZE)
    axes = figure.add_axes(_PLACE)  # a layout engine would draw everything twice
    if train.minimize:
        _draw_costs(axes, columns, x)
    else:
        for name, label, style in _LINES:
            _plot(axes, columns, x, name, label=label, **style)
        axes.set_ylabel("value" if train.is_function else "return of an episode")

    if train.target_return is not None:
        style = {"color": "gray", "linestyle": "--", "linewidth": 1.0}
        axes.axhline(train.target_return, label="target", **style)

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel({"env_steps": "environment steps", "generation": "epochs"}.get(x, x))
    task = train.task
    axes.set_title(f"{config.method} on {task}, seed {train.seed}", fontsize=11)
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)
    if losses:
        _draw_losses(axes.twinx(), columns, x)

    make_readable(figure)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=120)
    return image.getvalue()


def make_readable(figure: Figure) -> None:
    """Let titles and legends show names as they are: no name is a formula, and none is refused by
    the font.
    """
    texts = [axes.title for axes in figure.axes]
    texts += [axis.label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    for legend in filter(None, legends):
        texts += [legend.get_title(), *legend.get_texts()]

    for text in texts:
        text.set_text("\n".join(map(shown, readable(text.get_text()).split("\n"))))
        text.set_parse_math(False)


def drawable(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values within what an axis can span."""
    return np.clip(values, -_MOST_DRAWN, _MOST_DRAWN)


def _plot(axes: Axes, columns: Columns, x: str, y: str, **style: Any) -> None:
    """Draw a line through the rows that have the number."""
    values = drawable(columns.numbers(y))
    known = ~np.isnan(values)
    if known.any():
        axes.plot(*thinned(columns.numbers(x)[known], values[known]), **style)


def _draw_losses(axes: Axes, columns: Columns, x: str) -> None:
    style = {"color": "tab:gray", "linewidth": 1.0}
    _plot(axes, columns, x, "loss", label="loss", linestyle="-", **style)
    _plot(axes, columns, x, "loss_held_out", label="loss, held out", linestyle="--", **style)
    if np.nanmin(columns.numbers("loss")) > 0:
        _logarithmic_y(axes)
    axes.set_ylabel("loss")
    axes.legend(frameon=False, fontsize=9, loc="lower left")


def _draw_costs(axes: Axes, columns: Columns, x: str) -> None:
    lowest = drawable(columns.numbers("cost_min"))
    known = ~np.isnan(lowest)
    if not known.any():
        return

    steps = columns.numbers(x)[known]
    mean = -drawable(columns.numbers("fitness_mean"))[known]
    label = "mean of the population"
    axes.plot(*thinned(steps, mean), color="tab:blue", linewidth=1.2, label=label)
    label = "lowest of the generation"
    axes.plot(*thinned(steps, lowest[known]), color="tab:red", linewidth=1.6, label=label)
    if np.nanmin(lowest) > 0:
        _logarithmic_y(axes)
    axes.set_ylabel("cost")


def _logarithmic_y(axes: Axes) -> None:
    """Make the vertical axis logarithmic; over decades without what takes longest to draw, which is
    small ticks, and labels that are formulas.
    """
    from matplotlib.ticker import NullLocator

    axes.set_yscale("log")
    low, high = axes.yaxis.get_data_interval()
    if high >= 100 * low:
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")


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
