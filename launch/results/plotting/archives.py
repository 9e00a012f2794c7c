"""The archives of runs of quality diversity: the fitness of the elite of every cell."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.figure import Figure

from esengine.errors import UserError
from esengine.launch.results.plotting.figures import panels
from esengine.launch.results.plotting.runs import PlottedRun
from esengine.repertoires import Repertoire, load_archive

_COLOURS = "viridis"
_NUM_AXES = 2


def draw_archives(runs: list[PlottedRun]) -> Figure:
    """Draw the elites over their first two measures, coloured by fitness, one panel per run. The
    cells of a grid of two measures are filled; others are points at the elites' measures.

    Raises:
        UserError: a run has no archive.
    """
    figure, every_axes = panels(
        f"{run.config.method} on {run.task}, seed {run.config.train.seed}" for run in runs
    )
    for axes, run in zip(every_axes, runs, strict=True):
        if not (run.path / "archive.safetensors").exists():
            raise UserError(
                f"--kind archive needs a checkpoint of map-elites, cma-me or cma-mae, got "
                f"{run.path} of {run.config.method}; name another run"
            )
        archive = load_archive(run.path)
        sign = -1 if run.config.train.minimize else 1
        drawn = _cells(axes, archive, sign)
        figure.colorbar(drawn, ax=axes, label="cost" if sign < 0 else "fitness")
        score = f"{archive.cells.size:,} elites, coverage {archive.coverage:.1%}"
        axes.set_xlabel(f"{archive.names[0]}\n{score}, QD score {archive.qd_score:.6g}")
        axes.set_ylabel(archive.names[1] if len(archive.names) > 1 else "fitness")
        axes.set_xlim(*archive.ranges[0])
        if len(archive.names) > 1:
            axes.set_ylim(*archive.ranges[1])
        axes.grid(visible=False)
    return figure


def _cells(axes: Axes, archive: Repertoire, sign: int) -> Collection:
    """Draw the elites; returns what the scale of colours belongs to."""
    shown = sign * archive.fitness
    if archive.kind == "grid" and len(archive.names) == _NUM_AXES:
        filled = np.full(archive.num_cells, np.nan)
        filled[archive.cells] = shown
        edges = [
            np.linspace(low, high, size + 1)
            for (low, high), size in zip(archive.ranges, archive.shape, strict=True)
        ]
        return axes.pcolormesh(*edges, filled.reshape(archive.shape).T, cmap=_COLOURS)

    xs = np.clip(archive.measures[:, 0], *archive.ranges[0])
    ys = shown
    if len(archive.names) > 1:
        ys = np.clip(archive.measures[:, 1], *archive.ranges[1])
    return axes.scatter(xs, ys, c=shown, s=9, cmap=_COLOURS)
