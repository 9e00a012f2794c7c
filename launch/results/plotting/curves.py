"""Learning curves: one line a group of runs, with a band over its seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError, listed
from esengine.launch.results.plotting.figures import COLOURS, label_x, logarithmic_y, panels
from esengine.launch.results.plotting.runs import X_AXES, Group, PlottedRun, by_task
from esengine.seeding import derive_key, generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BandKind = Literal["range", "quartiles", "confidence"]
_CENTRES = {
    "range": "median, least to greatest seed",
    "quartiles": "median and quartiles of seeds",
    "confidence": "mean of seeds, 95 % bootstrap interval",
}
_GRID = 400  # points of a band
_RESAMPLES = 2000

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions and values, (num_points,) each, positions ascending."""


def draw_curves(runs: list[PlottedRun], x: str, y: str | None, kind: BandKind) -> Figure:
    """One panel a task; lines are groups of runs that differ in their seed alone.

    Args:
        runs: with at least one row each.
        x: one of `X_AXES`.
        y: name of a figure of the rows, or None for what the task is about.
        kind: what the band shows.

    Raises:
        UserError: a run has no such figure.
    """
    tasks = by_task(runs)
    figure, every_axes = panels(tasks)
    subject = _subject([run for run in runs if run.config.train.objective is None])
    for axes, (task, groups) in zip(every_axes, tasks.items(), strict=True):
        here = [run for run in runs if run.task == task]
        is_objective = here[0].config.train.objective is not None
        along = "evaluations" if x == "steps" and is_objective else x
        name = y or ("best" if is_objective else subject or _subject(here) or "loss")
        for group, colour in zip(groups, COLOURS * len(groups), strict=False):
            _draw_group(axes, group, along, name, kind, colour)
        label_x(axes, X_AXES[along])
        axes.set_ylabel(_label(name, here[0]))
        is_cost = name == "best" and here[0].config.train.minimize
        if is_cost and all(np.min(line.get_ydata()) > 0 for line in axes.lines):
            logarithmic_y(axes)
        several = any(len(group.runs) > 1 for group in groups)
        axes.legend(
            frameon=False, fontsize=9, title=_CENTRES[kind] if several else None, title_fontsize=8
        )
    return figure


def band(curves: list[Curve], kind: BandKind) -> tuple[NDArray[np.float64], ...]:
    """Positions, lower edge, centre and upper edge where all curves have values, (num_points,)
    each.

    Args:
        curves: of the seeds; between two points a curve is a straight line.
        kind: median with the range or the quartiles, or the mean with its bootstrap interval.
    """
    begin, end = max(xs[0] for xs, _ in curves), min(xs[-1] for xs, _ in curves)
    positions = np.linspace(begin, max(begin, end), _GRID)
    values = np.array([np.interp(positions, xs, ys) for xs, ys in curves])
    if kind == "range":
        return positions, values.min(axis=0), np.median(values, axis=0), values.max(axis=0)
    if kind == "quartiles":
        return positions, *np.quantile(values, [0.25, 0.5, 0.75], axis=0)
    draws = generator(derive_key(0, "bootstrap")).integers(
        len(values), size=(_RESAMPLES, len(values))
    )
    weights = np.stack([(draws == seed).mean(axis=1) for seed in range(len(values))], axis=1)
    low, high = np.quantile(weights @ values, [0.025, 0.975], axis=0)
    return positions, low, values.mean(axis=0), high


def _draw_group(axes: Axes, group: Group, x: str, y: str, kind: BandKind, colour: str) -> None:
    curves = [run.series(x, y) for run in group.runs]
    for run, (xs, _) in zip(group.runs, curves, strict=True):
        if not xs.size:
            known = sorted(
                name for name, value in run.rows[-1].items() if isinstance(value, int | float)
            )
            raise UserError(
                f"--y must be a figure of the runs' metrics, got {y}, which {run.path} lacks; it "
                f"has {listed(known)}"
            )
    if len(curves) == 1:
        ((xs, ys),) = curves
        marker = "o" if xs.size <= 30 else None
        axes.plot(
            xs, ys, color=colour, linewidth=1.6, marker=marker, markersize=3, label=group.label
        )
        return
    for xs, ys in curves:
        axes.plot(xs, ys, color=colour, linewidth=0.7, alpha=0.3)
    positions, low, centre, high = band(curves, kind)
    axes.fill_between(positions, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(
        positions, centre, color=colour, linewidth=1.8, label=f"{group.label} ({len(curves)} seeds)"
    )


def _subject(runs: list[PlottedRun]) -> str | None:
    """What runs in environments have in common: evaluated returns if all have two, else fitness, an
    evaluation, or a loss.
    """
    for name, least in (
        ("episode_return_eval", 2),
        ("fitness_mean", 1),
        ("episode_return_eval", 1),
        ("loss", 1),
    ):
        if all(sum(row.get(name) is not None for row in run.rows) >= least for run in runs):
            return name
    return None


def _label(name: str, run: PlottedRun) -> str:
    best = "lowest cost so far" if run.config.train.minimize else "best value so far"
    labels = {
        "episode_return_eval": "return of the policy",
        "fitness_mean": "mean fitness of the population",
        "best": best,
    }
    return labels.get(name, name.replace("_", " "))
