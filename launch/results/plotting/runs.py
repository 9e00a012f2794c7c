"""Runs as a plot sees them: found in folders, read, and grouped into runs that differ in their seed
alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.budget import BudgetSettings
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.evaluations import EvaluationSettings
from esengine.launch.settings.run import RunSettings, StartSettings

Row = dict[str, Any]

X_AXES = {"steps": "environment steps", "evaluations": "evaluations", "hours": "hours"}

# Settings that change where and for how long a run goes on, but not what it searches.
_NOT_THE_SEARCH = {
    field.name
    for group in (BudgetSettings, RunSettings, StartSettings, EvaluationSettings)
    for field in fields(group)
} | {"env_backend"}


@dataclass(frozen=True)
class PlottedRun:
    """A run with its rows of metrics, of which there is at least one."""

    path: Path
    config: RunConfig
    rows: list[Row]

    @property
    def task(self) -> str:
        return str(self.config.train.env_id or self.config.train.objective)

    def series(self, x: str, y: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The rows that have ``y``, as two arrays of (num_points,).

        Args:
            x: one of `X_AXES`.
            y: name of a figure of the rows; a cost or a best value so far is called ``best``.
        """
        values = _best_so_far(self.rows) if y == "best" else [row.get(y) for row in self.rows]
        points = [
            (_position(row, x), value)
            for row, value in zip(self.rows, values, strict=True)
            if value is not None
        ]
        xs, ys = np.array(points, np.float64).reshape(-1, 2).T
        return xs, -ys if y == "best" and self.config.train.minimize else ys


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seed alone, and what they are called in a legend."""

    label: str
    runs: list[PlottedRun]


def find_runs(paths: tuple[Path, ...]) -> list[PlottedRun]:
    """The runs that are named, or that lie in the folders that are named, such as those of an
    array.

    Raises:
        UserError: a folder holds no run, or a run has no row yet.
    """
    found: list[PlottedRun] = []
    for path in paths:
        if (path / "config.json").is_file():
            run = _read(path)
            if not run.rows:
                raise UserError(
                    f"a run to plot must have ended a generation, got {path}, which has not; wait "
                    f"for it"
                )
            found.append(run)
            continue
        folders = sorted(file.parent for file in path.rglob("config.json")) if path.is_dir() else []
        inside = [run for run in map(_read, folders) if run.rows]
        if not inside:
            raise UserError(
                f"plot needs run directories, or a folder of them, got {path}, which holds no run "
                f"with metrics"
            )
        found += inside
    return found


def by_task(runs: list[PlottedRun]) -> dict[str, list[Group]]:
    """The groups of each environment or objective, in the order of the runs."""
    tasks: dict[str, list[PlottedRun]] = {}
    for run in runs:
        tasks.setdefault(run.task, []).append(run)
    return {task: _groups(members) for task, members in tasks.items()}


def _groups(runs: list[PlottedRun]) -> list[Group]:
    settings = [_search_settings(run.config) for run in runs]
    gathered: dict[str, list[PlottedRun]] = {}
    for run, values in zip(runs, settings, strict=True):
        gathered.setdefault(json.dumps(values, sort_keys=True), []).append(run)
    groups = []
    for key, members in gathered.items():
        values = json.loads(key)
        rivals = [
            other for other in map(json.loads, gathered) if other["method"] == values["method"]
        ]
        names = [
            name for name in values if any(other.get(name) != values[name] for other in rivals)
        ]
        told = [f"{name.replace('_', ' ')} {_short(values[name])}" for name in names]
        groups.append(Group(", ".join([values["method"], *told]), members))
    return groups


def _search_settings(config: RunConfig) -> dict[str, Any]:
    """The settings that decide what is searched and how, by name."""
    record = config.to_json()
    values = {"method": record["method"], **record["train"], **record["search"]}
    return {name: value for name, value in values.items() if name not in _NOT_THE_SEARCH}


def _read(path: Path) -> PlottedRun:
    directory = RunDirectory.open(path)
    return PlottedRun(path, directory.config(), directory.metrics.rows())


def _best_so_far(rows: list[Row]) -> list[float | None]:
    best: float | None = None
    values = []
    for row in rows:
        value = row.get("fitness_max")
        if value is not None:
            best = value if best is None else max(best, value)
        values.append(best)
    return values


def _position(row: Row, x: str) -> float:
    if x == "hours":
        return float(row["machine"]["elapsed_s"]) / 3600
    return float(row["env_steps" if x == "steps" else "evaluations"])


def _short(value: Any) -> str:
    return (
        " ".join(map(str, value))
        if isinstance(value, list)
        else "none"
        if value is None
        else str(value)
    )
