"""The page ``RESULTS.md``, written from ``results.jsonl``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.defaults.tasks import METHODS, SEEDS, TASKS, Task

Row = dict[str, Any]

_TOP = """# Methods with their defaults

Written by `python -m benchmarks.defaults`. Every run has the defaults of its method, a budget of
steps, and one rank. A cell has the mean return of the saved policy of each seed over 50 fresh
episodes, which nothing was chosen by; a dash is a seed that has not been run yet, and tasks without
any run are left out.

Steps are those of training, trials of step sizes included. Evaluations come on top, in the column
*evaluations* as a share of the steps, and so does the choice at the end. *CPU* is the mean of a
run's seconds on one core, evaluations included. *Zero* is the policy whose parameters are all zero,
from which linear policies start.
"""


def read(file: Path) -> list[Row]:
    """The rows of results."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def page(rows: list[Row]) -> str:
    """The page of some rows."""
    parts = [_TOP]
    for title, chose in (
        ("Tasks that only report", False),
        ("Tasks on which the rules behind the defaults were chosen", True),
    ):
        parts += [f"## {title}", "", *_table([task for task in TASKS if task.chose == chose], rows)]
    return "\n".join([*parts, *_starts(rows)]) + "\n"


def _table(tasks: list[Task], rows: list[Row]) -> list[str]:
    names = ["task", "steps", "zero", "random", *METHODS, "evaluations", "CPU", "published"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for task in tasks:
        own = [row for row in rows if row["task"] == task.env_id]
        still = next((row for row in own if "zero" in row), None)
        runs = [row for row in own if "method" in row]
        if still is None or not runs:
            continue
        share = np.mean([row["eval_env_steps"] / row["env_steps"] for row in runs])
        cpu_s = np.mean([row["cpu_s"] for row in runs])
        cells = [
            task.env_id,
            f"{task.env_steps / 1e6:g} M",
            _number(still["zero"]),
            _number(still["random"]),
            *(_finals(runs, method) for method in METHODS),
            f"{share:.0%}",
            f"{cpu_s:.0f} s",
            task.published,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _finals(runs: list[Row], method: str) -> str:
    """The final return of each seed."""
    found = {row["seed"]: row["final"] for row in runs if row["method"] == method}
    return ", ".join(_number(found[seed]) if seed in found else "-" for seed in SEEDS)


def _starts(rows: list[Row]) -> list[str]:
    """How the runs ended compared with the policies that they started from."""
    runs = [row for row in rows if "method" in row]
    below = [row for row in runs if row["gained"] < -2 * row["standard_error"]]
    lines = [
        "## Compared with the start",
        "",
        f"{len(below)} of {len(runs)} runs ended with a policy that is worse than the one that the run "
        "started from by two standard errors, over the same 50 episodes.",
        "",
    ]
    return lines + [
        f"- {row['method']} on {row['task']}, seed {row['seed']}: {row['gained']:g} with a "
        f"standard error of {row['standard_error']:g}"
        for row in below
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"
