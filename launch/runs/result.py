"""What a caller from Python gets of a run: how it ended, its policy or best point, its metrics."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError, counted
from esengine.launch.runs.charts import curve
from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.policies import Policy, load_policy


class Metrics(list[Row]):
    """The rows of metrics of a run, one dictionary per generation."""

    def to_pandas(self) -> Any:
        """A pandas DataFrame with a row per generation; what is nested becomes columns such as
        ``machine.steps_per_s``.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UserError(
                "to_pandas needs the package pandas, which is missing; pip install pandas"
            ) from error
        return pandas.json_normalize(list(self))


@dataclass(frozen=True, repr=False)
class RunResult:
    """How a run ended, or how far it has come.

    Attributes:
        finished: False if it was stopped early; a checkpoint then holds what it needs to resume.
        reason: why it ended, in words.
        generations: number of completed generations.
        parameters: (dimension,) the parameters to use.
        best_value: of the objective, or None in an environment.
        best_point: (dimension,) where the objective had it, or None.
        policy_generation: the generation that the parameters are from, or None with an objective.
        final_return: mean return over fresh episodes, or None with an objective or when stopped
            early.
        run: the run directory, or None if the run was kept in memory only.
        rows: the rows of metrics of a run without a directory.
        standard_error: of the value of a noisy objective's best point, or None.
        choice: why the method ``auto`` chose the method, in one line.
        best_columns: the columns of the best point beside its value, by name, or None.
        is_feasible: whether the best point meets all constraints; True without any.
    """

    finished: bool
    reason: str
    generations: int
    parameters: NDArray[np.floating]
    best_value: float | None
    best_point: NDArray[np.float64] | None
    policy_generation: int | None
    final_return: float | None
    run: RunDirectory | None
    rows: Sequence[Row] = field(default=())
    standard_error: float | None = None
    choice: str = ""
    best_columns: dict[str, float] | None = None
    is_feasible: bool = True

    @property
    def run_dir(self) -> Path | None:
        """The folder of the run, or None if it was kept in memory only."""
        return None if self.run is None else self.run.path

    @property
    def policy(self) -> Policy:
        """The policy to use. Raises UserError for a run without one."""
        if self.run is None or self.best_value is not None:
            raise UserError("a run with an objective has no policy; see best_point")
        return load_policy(self.run.path)

    @property
    def metrics(self) -> Metrics:
        """The rows of metrics, one per generation."""
        return Metrics(self.rows if self.run is None else rows_of(self.run))

    def __repr__(self) -> str:
        value = f"best_value={self.best_value:.6g}" if self.best_value is not None else ""
        if self.standard_error is not None:
            value += f" +- {self.standard_error:.2g}"
        if self.final_return is not None:
            value = f"final_return={self.final_return:.6g}"
        count = counted(self.generations, "generation")
        parts = [count, self.reason if self.reason != count else "", value]
        if self.run_dir is not None:
            parts.append(f"run_dir={str(self.run_dir)!r}")
        return f"RunResult({', '.join(filter(None, parts))})"

    def _repr_html_(self) -> str:
        """The picture of a notebook: the sentence, and the learning curve."""
        text = f"<code>{html.escape(repr(self))}</code>"
        if self.run is None or not self.run.last_rows():
            return text
        image = b64encode(curve(self.run, self.run.config())).decode()
        return f'{text}<br><img width="640" src="data:image/png;base64,{image}">'


def rows_of(directory: RunDirectory) -> list[Row]:
    """All rows of metrics of a run."""
    return list(directory.metrics.rows(directory.identity()))


def path_of(run: str | Path | RunResult) -> Path:
    """The folder of a run. Raises UserError for one in memory."""
    if not isinstance(run, RunResult):
        return Path(run)
    if run.run_dir is None:
        raise UserError("a run in memory cannot be resumed, got the result of minimize; use train")
    return run.run_dir


def in_memory(result: RunResult) -> RunResult:
    """A result without its run directory, which will be removed."""
    return replace(result, run=None, rows=tuple(result.metrics))


def result_of(directory: RunDirectory) -> RunResult:
    """The result of a run from its records; of one that has not finished, as far as it has come.

    Raises:
        UserError: the records are damaged, or there is no checkpoint yet.
    """
    done = directory.done()
    rows = directory.last_rows()
    generations = done["generations"] if done else rows[-1]["generation"] if rows else 0
    best: dict[str, Any] = {"value": None, "point": None}
    if not directory.config().train.is_function:
        best["parameters"] = load_policy(directory.path).parameters
    else:
        best = directory.best()
    return RunResult(
        done is not None,
        str(done["reason"]) if done else "not finished",
        generations,
        best["parameters"],
        best["value"],
        best["point"],
        done.get("policy_generation") if done else None,
        done["final_return"] if done else None,
        directory,
        standard_error=done.get("standard_error") if done else None,
        choice=directory.config().choice,
        best_columns=best.get("columns"),
        is_feasible=best.get("feasible", True),
    )
