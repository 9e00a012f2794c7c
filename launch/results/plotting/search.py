"""The search over time: its step size and shape, the spectrum of its covariance, its fitness."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from esengine.algorithms.evolution.restarts import arrays_of_a_search
from esengine.errors import UserError
from esengine.launch.results.plotting.figures import (
    COLOURS,
    colours,
    label_x,
    logarithmic_y,
    panels,
)
from esengine.launch.results.plotting.runs import X_AXES, PlottedRun, by_task
from esengine.storage import Checkpoint, checkpoints, load_checkpoint

_SHAPES = {
    "sigma": "step size",
    "axis_ratio": "longest over shortest axis",
    "fitness_std": "standard deviation of fitness",
}
_MOST_CLOUDS = 1000  # generations whose cloud is drawn
_BANDS = ((0, 6, 0.12), (1, 5, 0.2), (2, 4, 0.3))  # from which to which quantile, and the opacity


def draw_steps(runs: list[PlottedRun], x: str) -> Figure:
    """Draw step size, axis ratio and spread of fitness over time, a panel each per task.

    Raises:
        UserError: no run has any of them.
    """
    tasks = by_task(runs)
    names = [
        (task, name)
        for task, groups in tasks.items()
        for name in _SHAPES
        if any(run.last.get(name) is not None for run in groups[0].runs)
    ]
    if not names:
        raise UserError(
            f"--kind steps needs runs of methods with a step size, got {runs[0].config.method}; "
            f"name another run"
        )

    figure, every_axes = panels(f"{task}: {_SHAPES[name]}" for task, name in names)
    for axes, (task, name) in zip(every_axes, names, strict=True):
        groups = tasks[task]
        for group, colour in zip(groups, colours(len(groups)), strict=True):
            for index, run in enumerate(group.runs):
                label = None if index else group.label
                axes.plot(*run.series(x, name), color=colour, linewidth=1.2, label=label)
        if all((line.get_ydata() > 0).all() for line in axes.lines):  # type: ignore[operator, union-attr]
            logarithmic_y(axes)
        label_x(axes, X_AXES[x])
        axes.legend(frameon=False, fontsize=9)
    return figure


def _whole_checkpoints(folder: Path) -> list[Checkpoint]:
    """The kept checkpoints without damaged ones, of which a warning tells."""
    found = []
    for path in checkpoints(folder):
        try:
            found.append(load_checkpoint(path))
        except (OSError, ValueError) as error:
            warnings.warn(f"checkpoint {path} is left out: {error}", stacklevel=2)
    return found


def draw_spectrum(runs: list[PlottedRun]) -> Figure:
    """Draw the lengths of the search distribution's axes, longest first: a panel per run, a line
    per kept checkpoint.

    Raises:
        UserError: a run has no checkpoint, or its method has one step size for all directions.
    """
    figure, every_axes = _panel_per_run(runs)
    for axes, run in zip(every_axes, runs, strict=True):
        saved = _whole_checkpoints(run.path / "checkpoints")
        if not saved:
            raise UserError(
                f"a spectrum needs a checkpoint, got {run.path}, which has none yet; wait for it"
            )
        for index, checkpoint in enumerate(saved):
            lengths = axis_lengths(checkpoint)
            if lengths is None:
                raise UserError(
                    "a spectrum needs a method that learns a scale for every direction or "
                    f"parameter, got {run.config.method} in {run.path}; plot runs of cma-es, "
                    "sep-cma-es, snes or pgpe"
                )
            numbers = np.arange(1, lengths.size + 1)
            alpha = (index + 1) / len(saved)
            label = f"generation {checkpoint.generation}"
            axes.plot(numbers, lengths, color=COLOURS[0], alpha=alpha, label=label)

        logarithmic_y(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("axis, longest first")
        axes.set_ylabel("length of the axis (standard deviation)")
        axes.legend(frameon=False, fontsize=9)
    return figure


def axis_lengths(checkpoint: Checkpoint) -> NDArray[np.float64] | None:
    """Standard deviations along the axes of the search distribution, longest first; None for a
    method with one for all.

    The axes are the eigenvectors of the covariance matrix for ``cma-es``, else the coordinates.
    """
    state = arrays_of_a_search(checkpoint.arrays, "strategy/")
    if "D" in state:
        lengths = state["sigma"] * state["D"]  # D holds square roots of eigenvalues
    elif "matrix/D" in state:
        own = 1 + state["matrix/S"] @ state["matrix/V"] ** 2
        lengths = state["sigma"] * state["matrix/D"] * np.sqrt(own)
    elif "variances" in state:
        lengths = state["sigma"] * np.sqrt(state["variances"])
    elif "deviations" in state:
        lengths = state["deviations"]
    else:
        return None
    return np.sort(np.asarray(lengths, np.float64))[::-1]


def draw_fitness(runs: list[PlottedRun], x: str) -> Figure:
    """Draw the population's fitness, or cost: range, deciles and quartiles around the median, one
    panel per run.

    Raises:
        UserError: a run is of a version that kept no quantiles.
    """
    figure, every_axes = _panel_per_run(runs)
    for axes, run in zip(every_axes, runs, strict=True):
        rows = run.clouds()
        every = len(rows) // _MOST_CLOUDS + 1
        rows = rows[::every]
        known = ~np.isnan(rows).all(axis=1)
        if not known.any():
            raise UserError(
                f"a cloud of fitness needs fitness_quantiles in metrics.jsonl, got {run.path} "
                f"without; train anew"
            )

        xs, quantiles = run.positions(x)[::every][known], rows[known].T
        is_cost = run.config.train.minimize
        if is_cost:
            quantiles = -quantiles[::-1]
        for low, high, alpha in _BANDS:
            axes.fill_between(
                xs, quantiles[low], quantiles[high], color=COLOURS[0], alpha=alpha, linewidth=0
            )
        label = "median member; quartiles, deciles, range"
        axes.plot(xs, quantiles[3], color=COLOURS[0], linewidth=1.4, label=label)
        evaluated = run.series(x, "episode_return_eval")
        if evaluated[0].size:
            label = "policy, evaluation episodes"
            axes.plot(*evaluated, "o-", color=COLOURS[1], label=label, markersize=3, linewidth=1.2)

        label_x(axes, X_AXES[x])
        axes.set_ylabel("cost" if is_cost else "fitness")
        axes.legend(frameon=False, fontsize=9)
    return figure


def _panel_per_run(runs: list[PlottedRun]) -> tuple[Figure, list[Axes]]:
    return panels(
        f"{run.config.method} on {run.task}, seed {run.config.train.seed}" for run in runs
    )
