"""The results page of the planners' benchmark, from its measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_INTRODUCTION = """# Planners

Written by `python -m benchmarks.planners.run`. A planner is given the simulator's state; its return is the mean over
episodes whose starts it shares with random actions. Labels a second are per core, in processor time, after compilation.
"""


def write_report(results: dict[str, Any], path: Path) -> None:
    """Write the page.

    Args:
        results: ``note``, ``planners``, ``workers`` and ``imitation``, as `benchmarks.planners.run`
            measures them.
        path: of the page.
    """
    lines = [
        _INTRODUCTION,
        *([results["note"], ""] if results["note"] else []),
        "| environment | planner | settings | episodes | steps at most | planner's return | "
        "random | labels/s a core |",
    ]
    lines.append("|---|---|---|---|---|---|---|---|")
    for row in results["planners"]:
        settings = " ".join(row["arguments"]) or "defaults"
        values = (
            row["episodes"],
            row["max_steps"],
            row["planner_return"],
            row["random_return"],
            row["labels_per_s"],
        )
        lines.append(
            f"| {row['env_id']} | {row['planner']} | {settings} | "
            + " | ".join(map(str, values))
            + " |"
        )
    lines += ["", *_workers(results["workers"]), *_imitation(results["imitation"])]
    path.write_text("\n".join(lines) + "\n")


def _workers(workers: dict[str, Any]) -> list[str]:
    same = "the same bytes" if workers["same_bytes"] else "different bytes"
    return [
        "## Two workers",
        "",
        f"`esengine collect --planner mppi` on HalfCheetah-v5: {workers['one_s']} s with one "
        f"worker, {workers['two_s']} s with "
        f"two, start of the ranks included: {workers['ratio']} times as fast, {same} in the file.",
        "",
    ]


def _imitation(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## Imitation at equal labels",
        "",
        "Pendulum-v1, MPPI as teacher, 2,000 labels, final policy, 100 fixed starts; normalised "
        "so that random is 0 and the",
        "teacher 1. Cloning learns from ten episodes of the planner; the others take one episode "
        "a round.",
        "PLATO's teacher plans twice a step, once for the label and once for the action; guided "
        "policy search refines the",
        "planner's trajectory by iLQR. One row has five times the labels.",
        "",
        "| method | mean | least | each seed |",
        "|---|---|---|---|",
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        values = [row["normalized"] for row in rows if row["method"] == method]
        each = ", ".join(f"{value:.3f}" for value in values)
        lines.append(f"| {method} | {np.mean(values):.3f} | {min(values):.3f} | {each} |")
    return lines
