"""What a run shows: a live line on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from rich.console import Console

from esengine.algorithms import CMAESSettings
from esengine.launch.config import RunConfig, TrainSettings
from esengine.launch.display import Display, Follower

ROW = {
    "generation": 10, "population_size": 4, "fitness_mean": 1.5, "fitness_max": 2.5, "env_steps": 100, "evaluations": 4,
    "failed_members": 1, "sigma": 0.25, "episode_return_eval": 7.0, "machine": {"steps_per_s": 1234.5, "busy_share": 0.97},
}  # fmt: skip


def shown(terminal: bool, **settings: Any) -> str:
    config = RunConfig("cma-es", TrainSettings(env_id="CartPole-v1", **settings), CMAESSettings())
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)
    with Display(config, Path("runs/here"), console) as display:
        display(ROW)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_without_a_terminal() -> None:
    text = shown(False)
    assert "cma-es on CartPole-v1, seed 0, in runs/here" in text
    assert "generation 10  mean 1.5  best 2.5  evaluated 7  sigma 0.25  1,234 steps/s  busy 97%  failed 1" in text
    assert "\x1b" not in text


def test_a_live_line_on_a_terminal() -> None:
    text = shown(True)
    assert "\x1b" in text
    assert "generation 10/100" in text


def test_nothing_when_quiet() -> None:
    assert shown(True, quiet=True) == ""


def test_a_follower_shows_each_row_once_and_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    follower = Follower(tmp_path, rows.append, after=1)  # type: ignore[arg-type]
    follower()
    path = tmp_path / "metrics.jsonl"
    lines = [
        json.dumps({"generation": generation, "env_steps": 0, "evaluations": 0, "machine": {}}) + "\n"
        for generation in (1, 2, 3)
    ]
    path.write_text(lines[0] + lines[1] + lines[2][:5])
    follower()
    follower()
    path.write_text("".join(lines))
    follower()
    assert [row["generation"] for row in rows] == [2, 3]
