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
        results: ``note``, ``planners``, ``workers``, ``imitation``, ``loops`` and ``settings``, as
            `benchmarks.planners.run` measures them.
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
    if results.get("loops"):
        lines += ["", *_loops(results["loops"])]
    if results.get("settings"):
        lines += ["", *_settings(results["settings"])]
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


def _loops(rows: list[dict[str, Any]]) -> list[str]:
    return [
        "## The compiled loop and `mujoco.rollout`",
        "",
        "Labels a second of the cross-entropy method with 32 candidates and one iteration, over the "
        "first 40 steps of an",
        "episode, per second of processor time of all threads, and of wall time on a machine of two "
        "cores that other work",
        "kept busy. The error is the largest difference of 32 returns from those of the compiled loop, which ends a "
        "candidate",
        "where it falls; `mujoco.rollout` steps it to its end.",
        "",
        "| robot | horizon | loop | threads | labels per processor second | labels per wall second "
        "| error |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['env_id']} | {row['horizon']} | {row['loop']} | {row['threads']} | "
            f"{row['labels_per_cpu_s']} | {row['labels_per_s']} | {row['error']} |"
            for row in rows
        ),
    ]


def _settings(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "## How cheap a plan may be",
        "",
        "The cross-entropy method over the first 200 steps of episodes. A warm plan starts from the rest "
        "of the last one, a cold",
        "one from the middle of the controls. In bold: the most labels a second with 0.95 of the robot's "
        "best return in this",
        "table.",
        "",
        "| robot | start | horizon | candidates | iterations | episodes | return | of the best | labels/s a "
        "core |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for robot in dict.fromkeys(row["env_id"] for row in rows):
        own = [row for row in rows if row["env_id"] == robot]
        best = max(row["return"] for row in own)
        good = [row for row in own if row["return"] >= 0.95 * best]
        cheapest = max(good, key=lambda row: row["labels_per_cpu_s"])
        for row in own:
            speed = f"{row['labels_per_cpu_s']}"
            lines.append(
                f"| {robot} | {'warm' if row['warm'] else 'cold'} | {row['horizon']} | "
                f"{row['candidates']} | {row['iterations']} | {row['episodes']} | {row['return']} | "
                f"{row['return'] / best:.2f} | {f'**{speed}**' if row is cheapest else speed} |"
            )
    return lines
