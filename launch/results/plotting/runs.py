"""The runs to plot: found in folders, read, and grouped if they differ only in their seed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.launch.runs.charts import drawable
from esengine.launch.runs.columns import Columns, thinned
from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.groups import (
    BudgetSettings,
    EvaluationSettings,
    RunSettings,
    StartSettings,
)

X_AXES = {"steps": "environment steps", "evaluations": "evaluations", "hours": "hours"}
_POSITIONS = {"steps": "env_steps", "evaluations": "evaluations", "hours": "machine.elapsed_s"}

_CLOUD = "fitness_quantiles[7]"
_USUAL = (
    *("generation", "env_steps", "evaluations", "machine.elapsed_s"),
    *("fitness_max", "fitness_mean", "fitness_std", "episode_return_eval", "sigma", "axis_ratio"),
)

# Settings that change where and how long a run searches, but not what and how.
_NOT_THE_SEARCH = {
    field.name
    for group in (BudgetSettings, RunSettings, StartSettings, EvaluationSettings)
    for field in fields(group)
} | {"env_backend"}


@dataclass(frozen=True)
class PlottedRun:
    """A run that has ended a generation, with its rows of metrics."""

    path: Path
    config: RunConfig
    columns: Columns

    @property
    def task(self) -> str:
        return self.config.train.task

    @property
    def last(self) -> Row:
        """The last row."""
        assert self.columns.last is not None
        return self.columns.last

    def series(self, x: str, y: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The rows that have ``y``, as two arrays of (num_points,); of a long run enough of them to
        draw a line.

        Args:
            x: one of `X_AXES`.
            y: the name of a number of the rows, or ``best`` for the best value or lowest cost so
                far.
        """
        best = y == "best"
        name = "fitness_max" if best else y
        ys = self.numbers(name)
        ys = np.fmax.accumulate(ys) if best else ys
        known = ~np.isnan(ys)
        xs = self.positions(x)
        xs, ys = thinned(xs[known], ys[known])
        return xs, -ys if best and self.config.train.minimize else ys

    def positions(self, x: str) -> NDArray[np.float64]:
        """(num_held,) places of the rows on an axis of `X_AXES`."""
        return self.numbers(_POSITIONS[x]) / (3600 if x == "hours" else 1)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(num_held,) values of a number of the rows, NaN where a row has none. What most pictures
        show is read with the first one.
        """
        self.columns.read(name, *_USUAL)
        return drawable(self.columns.numbers(name))

    def clouds(self) -> NDArray[np.float64]:
        """(num_held, 7) quantiles of the population's fitness."""
        self.columns.read(_CLOUD, *_USUAL)
        return drawable(self.columns.vectors(_CLOUD))


@dataclass(frozen=True)
class Group:
    """Runs that differ only in their seed, and their name in a legend."""

    label: str
    runs: list[PlottedRun]


def find_runs(paths: tuple[Path, ...]) -> list[PlottedRun]:
    """The runs at paths, or in folders of runs, such as those of an array.

    Raises:
        UserError: a folder holds no run, or a run has no row yet.
    """
    found: list[PlottedRun] = []
    for path in paths:
        is_run = (path / "config.json").is_file()
        folders = [path] if is_run else sorted(file.parent for file in path.rglob("config.json"))
        runs = [run for run in _read_all(folders, alone=is_run) if run.columns.last is not None]
        if is_run and not runs:
            raise UserError(
                f"a run to plot must have ended a generation, got {path}, which has not; wait for "
                f"it"
            )
        if not runs:
            raise UserError(
                f"plot needs run directories, or a folder of them, got {path}, which holds no run "
                f"with metrics"
            )
        found += runs
    return found


def by_task(runs: list[PlottedRun]) -> dict[str, list[Group]]:
    """The groups of each environment or objective, in the order of the runs."""
    tasks: dict[str, list[PlottedRun]] = {}
    for run in runs:
        tasks.setdefault(run.task, []).append(run)
    return {task: _groups(members) for task, members in tasks.items()}


def _groups(runs: list[PlottedRun]) -> list[Group]:
    gathered: dict[str, list[PlottedRun]] = {}
    for run in runs:
        key = json.dumps(_search_settings(run.config), sort_keys=True)
        gathered.setdefault(key, []).append(run)

    groups = []
    every_values = [json.loads(key) for key in gathered]
    for values, members in zip(every_values, gathered.values(), strict=True):
        rivals = [other for other in every_values if other["method"] == values["method"]]
        label = [values["method"]]
        for name, value in values.items():
            # None is a setting left alone, such as a step size that trials choose
            if value is not None and any(other.get(name) != value for other in rivals):
                label.append(f"{name.replace('_', ' ')} {setting_text(value)}")
        groups.append(Group(", ".join(label), members))
    return groups


def _search_settings(config: RunConfig) -> dict[str, Any]:
    """The settings that decide what is searched and how, by name."""
    record = config.to_json()
    values = {"method": record["method"], **record["train"], **record["search"]}
    return {name: value for name, value in values.items() if name not in _NOT_THE_SEARCH}


def _read_all(folders: list[Path], alone: bool) -> Iterator[PlottedRun]:
    """The runs in folders. A damaged one is refused where it stands alone, else left out."""
    for path in folders:
        try:
            directory = RunDirectory.open(path)
            yield PlottedRun(path, directory.config(), directory.columns())
        except UserError as error:
            if alone:
                raise
            warnings.warn(f"{error} (left out)", stacklevel=2)


def setting_text(value: Any) -> str:
    """The value of a setting as people type it."""
    if isinstance(value, tuple | list):
        return " ".join(map(str, value)) or "none"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value) if isinstance(value, str | Path) else json.dumps(value)
