"""Learning curves: one line per group of runs, with a band over its seeds."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from esengine.errors import UserError, listed
from esengine.launch.results.plotting.figures import (
    colours,
    label_x,
    logarithmic_y,
    panels,
)
from esengine.launch.results.plotting.runs import X_AXES, Group, PlottedRun, by_task
from esengine.seeding import derive_key, generator

BandKind = Literal["range", "quartiles", "confidence"]
_CENTRES = {
    "range": "median, least to greatest seed",
    "quartiles": "median and quartiles of seeds",
    "confidence": "mean of seeds, 95 % bootstrap interval",
}
_GRID = 400  # points of a band
_RESAMPLES = 2000
_EVALUATED, _FITNESS = "episode_return_eval", "fitness_mean"
_MOST_INSIDE = 5  # lines whose legend fits among them

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Positions and values, (num_points,) each, positions ascending."""


def draw_curves(runs: list[PlottedRun], x: str, y: str | None, kind: BandKind) -> Figure:
    """Draw one panel per task and one line per group of runs that differ only in their seed.

    Args:
        runs: with at least one row each.
        x: one of `X_AXES`.
        y: the name of a number of the rows; None for the policy's return or the best value.
        kind: what the band shows.

    Raises:
        UserError: a run has no such number.
    """
    tasks = by_task(runs)
    figure, every_axes = panels(tasks)
    subject = _subject([run for run in runs if not run.config.train.is_function])
    if y is None and subject == _FITNESS:
        _warn_of_fitness(runs)
    for axes, (task, groups) in zip(every_axes, tasks.items(), strict=True):
        here = [run for run in runs if run.task == task]
        is_objective = here[0].config.train.is_function
        along = "evaluations" if x == "steps" and is_objective else x
        name = y or ("best" if is_objective else subject or _subject(here) or "loss")
        for group, colour in zip(groups, colours(len(groups)), strict=True):
            _draw_group(axes, group, along, name, kind, colour)

        label_x(axes, X_AXES[along])
        axes.set_ylabel(_label(name, here[0]))
        is_cost = name == "best" and here[0].config.train.minimize
        if is_cost and all(np.min(line.get_ydata()) > 0 for line in axes.lines):
            logarithmic_y(axes)
        has_band = any(len(group.runs) > 1 for group in groups)
        title = _CENTRES[kind] if has_band else None
        legend = axes.legend(frameon=False, fontsize=9, title=title, title_fontsize=8)
        if len(groups) > _MOST_INSIDE:
            legend.set_loc("upper left")
            legend.set_bbox_to_anchor((1.01, 1.0), axes.transAxes)
    return figure


def band(curves: list[Curve], kind: BandKind) -> tuple[NDArray[np.float64], ...]:
    """Positions, lower edge, centre and upper edge where all curves have values, (num_points,)
    each.

    Args:
        curves: of the seeds; between two points a curve is a straight line.
        kind: median with the range or the quartiles, or the mean with its bootstrap interval.
    """
    begin = max(xs[0] for xs, _ in curves)
    end = min(xs[-1] for xs, _ in curves)
    positions = np.linspace(begin, max(begin, end), _GRID)
    values = np.array([np.interp(positions, xs, ys) for xs, ys in curves])
    if kind == "range":
        return positions, values.min(axis=0), np.median(values, axis=0), values.max(axis=0)
    if kind == "quartiles":
        return positions, *np.quantile(values, [0.25, 0.5, 0.75], axis=0)

    random = generator(derive_key(0, "bootstrap"))
    draws = random.integers(len(values), size=(_RESAMPLES, len(values)))
    weights = np.stack([(draws == seed).mean(axis=1) for seed in range(len(values))], axis=1)
    low, high = np.quantile(weights @ values, [0.025, 0.975], axis=0)
    return positions, low, values.mean(axis=0), high


def _draw_group(axes: Axes, group: Group, x: str, y: str, kind: BandKind, colour: str) -> None:
    curves = [run.series(x, y) for run in group.runs]
    for run, (xs, _) in zip(group.runs, curves, strict=True):
        if not xs.size:
            row = run.last.items()
            known = sorted(name for name, value in row if isinstance(value, int | float))
            raise UserError(
                f"--y must be a figure of the runs' metrics, got {y}, which {run.path} lacks; it "
                f"has {listed(known)}"
            )

    if len(curves) == 1:
        ((xs, ys),) = curves
        style = {"color": colour, "marker": "o" if xs.size <= 30 else None}
        axes.plot(xs, ys, linewidth=1.6, markersize=3, label=group.label, **style)  # type: ignore[arg-type]
        return

    for xs, ys in curves:
        axes.plot(xs, ys, color=colour, linewidth=0.7, alpha=0.3)
    positions, low, centre, high = band(curves, kind)
    axes.fill_between(positions, low, high, color=colour, alpha=0.18, linewidth=0)
    label = f"{group.label} ({len(curves)} seeds)"
    axes.plot(positions, centre, color=colour, linewidth=1.8, label=label)


def _subject(runs: list[PlottedRun]) -> str | None:
    """The number to draw, which all runs have: evaluated returns if each run has two of them, else
    fitness, one evaluated return, or a loss.
    """
    for name, least in ((_EVALUATED, 2), (_FITNESS, 1), (_EVALUATED, 1), ("loss", 1)):
        if all(np.sum(~np.isnan(run.numbers(name))) >= least for run in runs):
            return name
    return None


def _warn_of_fitness(runs: list[PlottedRun]) -> None:
    """Tell that curves do not show the policy's return, where other runs have it."""
    counts = {str(run.path): np.sum(~np.isnan(run.numbers(_EVALUATED))) for run in runs}
    if max(counts.values()) >= 2:
        few = listed(path for path, count in counts.items() if count < 2)
        warnings.warn(
            f"curves show the mean fitness of the population, since {few} evaluated the policy "
            f"less than twice; train with a smaller --eval-every, or leave them out",
            stacklevel=2,
        )


def _label(name: str, run: PlottedRun) -> str:
    best = "lowest cost so far" if run.config.train.minimize else "best value so far"
    labels = {
        _EVALUATED: "return of the policy",
        _FITNESS: "mean fitness of the population",
        "best": best,
    }
    return labels.get(name, name.replace("_", " "))
