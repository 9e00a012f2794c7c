"""The results page of the benchmark of learned models, from its measurements."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

METHODS = (
    "behavior-cloning",
    "cloning in rounds",
    "dagger",
    "plato",
    "guided-policy-search",
)
"""Those of the last table, the forms of cloning first."""

_INTRODUCTION = """# Models that are learned from samples

Written by `python -m benchmarks.models.run`. Returns are means over episodes whose starts all policies and planners of
a table share. A normalised return is 0 for random actions and 1 for the planner in the simulator.
"""


def write_report(results: dict[str, Any], path: Path) -> None:
    """Write the page.

    Args:
        results: ``note`` and the rows of each part, as `benchmarks.models.run` measures them.
        path: of the page.
    """
    lines = [_INTRODUCTION]
    if results["note"]:
        lines += [results["note"], ""]
    for part, write in (
        ("linear", _linear),
        ("guided", _guided),
        ("pets", _pets),
        ("shown", _shown),
        ("few", _teachers),
    ):
        if results.get(part):
            lines += [*write(results[part]), ""]
    path.write_text("\n".join(lines))


def _linear(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## A linear-Gaussian system",
        "",
        "Four coordinates, two controls, 20 rollouts of 12 steps. The squared error of A and B is in variances of least",
        "squares on these samples, so 1 is expected. The cost is that of the controller of 20 rollouts, without noise, in",
        "costs of Riccati's.",
        "",
        "| seed | squared error of A and B | cost |",
        "|---|---|---|",
        *(f"| {row['seed']} | {row['squared_error']} | {row['cost_ratio']} |" for row in rows),
    ]


def _guided(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Guided policy search by rollouts",
        "",
        "`guided-policy-search --planner ilqr --dynamics fitted`, through `reset` and `step` alone. Its episodes include the",
        "rollouts that models are fitted to. The others have the same number of environment steps, and their defaults.",
        "",
        "| environment | method | episodes of the search | steps | normalised: mean | least | each seed |",
        "|---|---|---|---|---|---|---|",
    ]
    for env_id, method in dict.fromkeys((row["env_id"], row["method"]) for row in rows):
        own = [row for row in rows if (row["env_id"], row["method"]) == (env_id, method)]
        values = [row["normalized"] for row in own]
        episodes = own[0]["episodes"] if method == "guided-policy-search" else "equal steps"
        each = ", ".join(f"{value:.3f}" for value in values)
        lines.append(
            f"| {env_id} | {method} | {episodes} | {own[0]['env_steps']:,} | {np.mean(values):.3f} | "
            f"{min(values):.3f} | {each} |"
        )
    scales = dict.fromkeys((row["env_id"], row["expert"], row["random"]) for row in rows)
    return [
        *lines,
        "",
        *(
            f"{one}: the planner's return is {expert}, random actions' {nobody}."
            for one, expert, nobody in scales
        ),
    ]


def _pets(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## Planning in a learned model",
        "",
        "`pets` on Pendulum-v1, 50 episodes of 200 steps. The planner of the last model, and the same planner in the",
        "simulator, from 20 starts; the policy that the run fitted to its planner, from 100 starts; and the steps until an",
        "episode of training had a return above -300.",
        "",
        "| seed | steps | planner in the model | planner in the simulator | policy | steps to -300 |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['seed']} | {row['env_steps']:,} | {row['planner_return']} | {row['simulator_return']} | "
            f"{row['policy_return']} | {row['steps_to_300']} |"
            for row in rows
        ),
    ]


def _shown(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## Ten demonstrations alone",
        "",
        "Ten episodes of Pendulum-v1 that a planner demonstrated, and no other step: a clone of them, and a planner in the",
        "model of them (`pets --episodes-per-round 0`). The clone acts from 100 starts, the planner from 20 of them.",
        "",
        "| seed | clone | planner in the model |",
        "|---|---|---|",
        *(f"| {row['seed']} | {row['clone_return']} | {row['planner_return']} |" for row in rows),
    ]


_TEACHERS = """## Four methods, one planner, equal labels

A label is a pair of an observation and the action that the teacher would take there. The policy is fitted to all
pairs, and all are counted. Methods that record one episode a round stop after the round in which they have the wanted
number, and have up to an episode more if learners ended early, which is in their favour. The clone is fitted to whole
episodes of the planner in 500 gradient steps for each. The others take 500 gradient steps a round, and keep the policy of the round with the best
mean return of five more episodes. `cloning in rounds` does so while the planner alone acts (`dagger --mixing linear
--mixing-rounds 1000000000`), so only who acts tells it from DAgger and PLATO. PLATO plans twice a step, for one
label. A label of guided policy search is the mean of its controller, which refines a planned episode, so it asks the
planner once a label and also differentiates the simulator.

Returns are means over 50 starts, and normalised. The difference is paired by seed, with the exact bootstrap interval
(95 %) of its mean over the seeds; with so few seeds it is rather too narrow."""


def _teachers(rows: list[dict[str, Any]]) -> list[str]:
    lines = [_TEACHERS]
    for task in dict.fromkeys(row["task"] for row in rows):
        own = [row for row in rows if row["task"] == task]
        lines += [
            "",
            f"### {task}",
            "",
            f"`{own[0]['settings']}`; its return is {own[0]['planner']}, random actions' {own[0]['random']}.",
            "",
            "| method | labels | mean | each seed | minus behavior-cloning | minus cloning in rounds |",
            "|---|---|---|---|---|---|",
        ]
        for method in METHODS:
            found = {row["seed"]: row for row in own if row["method"] == method}
            if not found:
                continue
            labels = [row["labels"] for row in found.values()]
            values = [row["normalized"] for row in found.values()]
            against = (_difference(own, method, clone) for clone in METHODS[:2])
            lines.append(
                f"| {method} | {np.mean(labels):,.0f} | {np.mean(values):.3f} | "
                f"{', '.join(f'{value:.3f}' for value in values)} | {' | '.join(against)} |"
            )
    return lines


def _difference(rows: list[dict[str, Any]], method: str, other: str) -> str:
    """The mean difference of two methods over the seeds that both have, with its interval."""
    values = {(row["method"], row["seed"]): row["normalized"] for row in rows}
    pairs = [
        values[method, seed] - values[other, seed]
        for one, seed in values
        if one == method and (other, seed) in values
    ]
    if method == other or len(pairs) < 2:
        return ""
    low, high = interval(np.array(pairs))
    return f"{np.mean(pairs):+.3f} [{low:+.3f}, {high:+.3f}]"


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5 and 97.5 percentiles of the mean over all samples with replacement."""
    drawn = np.array(list(product(range(len(values)), repeat=len(values))))
    low, high = np.percentile(values[drawn].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)
