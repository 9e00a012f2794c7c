"""Scaling and profile, from the files of ``esengine bench scaling | profile --json`` and from
runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from esengine.errors import UserError, readable
from esengine.launch.bench.training_runs import figures_of
from esengine.launch.results.plotting.figures import COLOURS, colours, logarithmic_y, panels
from esengine.launch.results.plotting.runs import PlottedRun
from esengine.storage.files import read_json

_PARTS = ("rollouts", "waiting", "publish", "update", "evaluate_policy", "charts")
_OTHER = "#BBBBBB"
_SCALING = re.compile(r"(strong|weak) scaling, (.+), (\d+) members, (\d+) workers")


def read_figures(path: Path) -> list[dict[str, Any]]:
    """The rows of a benchmark's file. Raises UserError for another file."""
    try:
        rows: list[dict[str, Any]] = read_json(path)
        if not all({"name", "value", "unit", "ratio"} <= set(row) for row in rows):
            raise ValueError("a row lacks its name, value, unit or ratio")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"a file to plot must be one that bench --json wrote, got {path}: {error}"
        ) from error
    return rows


def is_scaling(figures: list[dict[str, Any]]) -> bool:
    return any(_SCALING.fullmatch(figure["name"]) for figure in figures)


def draw_scaling(files: dict[str, list[dict[str, Any]]]) -> Figure:
    """Draw steps a second and efficiency over workers; dashed lines are multiples of one worker.

    Args:
        files: rows by the file's name.
    """
    figure, (rates, efficiencies) = panels(
        ["rate (dashed: the first point times the workers)", "efficiency"]
    )
    palette = iter(COLOURS * len(files) * 2)
    for file, rows in files.items():
        lines: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
        for row in rows:
            match = _SCALING.fullmatch(row["name"])
            if match:
                kind, task, _, workers = match.groups()
                lines.setdefault((kind, task), []).append(
                    (int(workers), row["value"], row["ratio"])
                )
        if not lines:
            raise UserError(
                f"--kind scaling needs a file of bench scaling --json, got {file}, which has no "
                f"such rows"
            )
        for (kind, task), points in lines.items():
            workers, values, ratios = zip(*sorted(points), strict=True)
            colour = next(palette)
            label = f"{kind}, {task}" + (f", {file}" if len(files) > 1 else "")
            rates.plot(workers, values, color=colour, marker="o", label=label)
            rates.plot(
                workers,
                [values[0] / workers[0] * count for count in workers],
                color=colour,
                ls="--",
                lw=0.8,
            )
            efficiencies.plot(workers, ratios, color=colour, marker="o", label=label)
    rates.set_ylabel("steps/s")
    efficiencies.set_ylabel("efficiency")
    efficiencies.set_ylim(0, 1.1)

    for axes in (rates, efficiencies):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("workers")
        axes.legend(frameon=False, fontsize=9)
    logarithmic_y(rates)

    return figure


def profile_of_run(run: PlottedRun) -> dict[str, float]:
    """Shares of a run's wall time by part, as its rows tell."""
    machine = run.last["machine"]
    try:
        figures = figures_of(run.columns.machines(), machine["workers"])
    except (KeyError, TypeError):
        raise UserError(
            f"a profile needs the workers' busy share in metrics.jsonl, got {run.path} without; "
            f"name another run"
        ) from None
    return {figure.name: figure.value for figure in figures}


def profile_of_file(name: str, figures: list[dict[str, Any]]) -> dict[str, float]:
    """Shares by part of a benchmark's file. Raises UserError for another benchmark's."""
    shares = {row["name"]: row["value"] for row in figures if row["unit"] == "of the time"}
    if "rollouts" not in shares:
        raise UserError(
            f"--kind profile needs a file of bench profile --json or runs, got {name}, which has "
            f"no such rows"
        )
    return shares


def draw_profile(profiles: dict[str, dict[str, float]]) -> Figure:
    """One bar a profile, cut into the parts that its time went to; parts under half a percent are
    not named.
    """
    figure, (axes,) = panels(["where the time goes"])
    figure.set_size_inches(9, 1.8 + 0.6 * len(profiles))
    parts = sorted(
        {part for shares in profiles.values() for part in shares},
        key=lambda part: _PARTS.index(part) if part in _PARTS else len(_PARTS),
    )
    colour_of = dict(zip(parts, colours(len(parts)), strict=True)) | {"other": _OTHER}

    for row, shares in enumerate(profiles.values()):
        left = 0.0
        for part in parts:
            share = shares.get(part, 0.0)
            seen = any(other.get(part, 0.0) >= 0.005 for other in profiles.values())
            label = part.replace("_", " ") if row == 0 and seen else None
            axes.barh(row, share, left=left, color=colour_of[part], label=label)
            left += share
    axes.set_yticks(range(len(profiles)), [readable(name) for name in profiles], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=9)

    return figure
