"""What the parts of the benchmark share: commands of esengine in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from esengine.demonstrations import load_demonstrations
from esengine.launch.cli import main

PLANS = ["--episodes", "20", "--seed", "1000"]  # of planners, which take longer
Row = dict[str, Any]


def esengine(*words: str) -> None:
    """An ``esengine`` command in this process; ends the measurement if it fails."""
    quiet = [] if words[0] == "evaluate" else ["--quiet"]
    status = main([*words, *quiet, "--workers", "1"])
    if status:
        sys.exit(f"esengine {' '.join(words)} ended with {status}")


def collected(folder: Path, *flags: str) -> float:
    """The mean return of the episodes that ``esengine collect`` records."""
    out = folder / "collected.npz"
    esengine("collect", *flags, "--out", str(out))
    return float(load_demonstrations([out]).returns.mean())


def evaluated(folder: Path, run: Path, episodes: int = 100) -> float:
    """The mean return of a run's policy on the starts that all policies share."""
    starts = ("--episodes", str(episodes), "--seed", "1000")
    report = folder / "evaluation.json"
    esengine("evaluate", str(run), *starts, "--json", str(report))
    return float(json.loads(report.read_text())["mean_return"])


def trained(folder: Path, seed: int, *words: str) -> tuple[Path, list[Row]]:
    """A run's folder and its rows."""
    path = folder / f"{words[0]}-{seed}"
    esengine("train", *words, "--seed", str(seed), "--run-dir", str(path))
    return path, [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
