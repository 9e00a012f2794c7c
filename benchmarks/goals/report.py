"""The results page of the benchmark of goals, from its measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_INTRODUCTION = """# Training on goals

Written by `python -m benchmarks.goals.run`. The maze is `esengine/PointMaze-v0 maze=meander`: down, up and down again through
nine corridors, reward 1 at the goal and 0 elsewhere, 250 steps. All runs are `openai-es` with the same settings,
`{settings}`, and end after
the generation in which they have used {steps:.0f} million steps, half-random episodes included. They differ in their goals
alone; seeds are paired. Success is over 100 fresh episodes at the maze's own goal, of the policy that a run
ends with.

Of {members:,} members drawn about the first means, {reached} reached the goal in an episode.

## The curriculum

| seed | {arms} |
|---|{lines}|
"""


def write_report(results: dict[str, Any], path: Path) -> None:
    """Write the page.

    Args:
        results: what `benchmarks.goals.run` measures.
        path: of the page.
    """
    rows, first = results["curriculum"], results["first"]
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    text = _INTRODUCTION.format(
        settings=results["settings"],
        steps=results["steps"] / 1e6,
        members=sum(row["members"] for row in first),
        reached=sum(row["reached"] for row in first) or "none",
        arms=" | ".join(arms),
        lines="|".join("---" for _ in arms),
    )
    lines = []
    for seed in sorted({row["seed"] for row in rows}):
        found = {row["arm"]: row["success"] for row in rows if row["seed"] == seed}
        lines.append(
            f"| {seed} | "
            + " | ".join(f"{found[arm]:.2f}" if arm in found else "" for arm in arms)
            + " |"
        )
    means = {
        arm: float(np.mean([row["success"] for row in rows if row["arm"] == arm])) for arm in arms
    }
    lines.append("| mean | " + " | ".join(f"{means[arm]:.2f}" for arm in arms) + " |")
    lines += [
        "",
        "| | success of training episodes | generations within 0.3 and 0.7 | million steps to 0.9 "
        "in an evaluation |",
    ]
    lines.append("|---|---|---|---|")
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        mean = [
            float(np.mean([row[name] for row in own])) for name in ("training_success", "in_band")
        ]
        steps = ", ".join(
            "never" if row["first_at_0.9"] is None else f"{row['first_at_0.9'] / 1e6:.1f}"
            for row in own
        )
        lines.append(f"| {arm} | {mean[0]:.2f} | {mean[1]:.0%} | {steps} |")
    lines += ["", *([results["note"], ""] if results["note"] else [])]
    lines += [
        "## Half-random actions",
        "",
        "The maze `u`, 100 episodes of 150 steps, cells of side 0.5; entropy in nats.",
        "",
    ]
    lines += ["| actions | cells visited | entropy of visits |", "|---|---|---|"]
    lines += [
        f"| {row['actions']} | {row['cells']} | {row['entropy']} |" for row in results["coverage"]
    ]
    path.write_text(text + "\n".join(lines) + "\n")
