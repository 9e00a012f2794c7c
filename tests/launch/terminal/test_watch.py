"""`esengine watch` tells how a run stands by its files alone: not begun, running, ended, killed,
moved.
"""

from __future__ import annotations

import io
import json
import os
import pty
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from esengine.algorithms import CMAESSettings
from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.runs.run_state import state_of
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.terminal.watch import Follower, WatchSettings, watch
from esengine.ranks import StopRequest
from tests.support.rows import row
from tests.support.terminals import read_until


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    settings = TrainSettings(env_id="CartPole-v1", generations=30, quiet=True)
    return RunDirectory.create(tmp_path / "run", RunConfig("cma-es", settings, CMAESSettings()))


def watched(path: Path, once: bool = True) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=120, highlight=False)
    status = watch(path, WatchSettings(once=once, interval=0.01), StopRequest(), console)
    assert isinstance(console.file, io.StringIO)
    return status, console.file.getvalue()


def test_a_follower_hands_on_each_row_once_and_waits_for_the_rest_of_a_line(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    follower = Follower(tmp_path, rows.append, after=1)
    follower()
    path = tmp_path / "metrics.jsonl"
    lines = [json.dumps(row(generation)) + "\n" for generation in (1, 2, 3, 4)]
    path.write_text(lines[0] + '{"generation": torn\n' + lines[1] + lines[2][:5])
    follower()
    follower()
    path.write_text("".join(lines[:3]))
    follower()
    aside = tmp_path / "aside"  # what a resume does, which goes back to its checkpoint
    aside.write_text(lines[0])
    aside.rename(path)
    follower()
    with open(path, "a") as file:
        file.write("".join(lines[1:]))
    follower()
    assert [row["generation"] for row in rows] == [2, 3, 4]


def test_a_run_is_told_from_its_files_at_every_stage(run: RunDirectory) -> None:
    assert watched(run.path) == (
        0,
        "cma-es on CartPole-v1, seed 0, in "
        + f"{run.path}\nwaiting for the first generation\nnot started yet\n",
    )
    run.acquire()
    run.add_start(3)
    status, text = watched(run.path)
    assert status == 0
    assert "running; no generation has ended yet" in text
    run.metrics.add(row(4, episode_return_eval=3.0))
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"generation": 5, "popul')
    status, text = watched(run.path)
    assert status == 0
    assert "generation 4  mean 1.5  best 2.5  evaluated 3" in text
    assert "running; the last generation" in text
    run.note(outcome="stopped")
    assert (watched(run.path)[0], state_of(run)) == (75, "stopped")
    run.add_start(3)
    run.write_done(
        {"reason": "30 generations", "generations": 30, "final_return": 12.0, "best_fitness": 13.0}
    )
    run.note(outcome="done")
    run.release()
    moved = run.path.rename(run.path.with_name("moved"))
    status, text = watched(moved, once=False)
    assert status == 0
    assert "finished: 30 generations; return 12.00 over 20 fresh episodes" in text
    assert state_of(run) == "gone"
    with pytest.raises(UserError, match="a run directory must hold"):
        watched(run.path)


def test_a_killed_run_is_told_on_its_host(run: RunDirectory) -> None:
    run.add_start(1)
    dead = subprocess.Popen(["true"])
    dead.wait()
    (run.path / "lock").write_text(json.dumps({"host": socket.gethostname(), "pid": dead.pid}))
    status, text = watched(run.path)
    assert status == 1
    assert "killed without a word" in text
    assert f"esengine resume {run.path}" in text
    (run.path / "lock").write_text(json.dumps({"host": "another", "pid": dead.pid}))
    assert state_of(run) == "running"


def test_a_terminal_shows_a_panel_that_follows_the_run(
    run: RunDirectory, environment: dict[str, str]
) -> None:
    """In a pseudo-terminal, while this process writes the run."""
    run.acquire()
    run.add_start(3)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-P", "-m", "esengine", "watch", str(run.path), "--interval", "0.05"]
    variables = environment | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "24"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables)
    os.close(theirs)
    text = read_until(ours, "first one is being evaluated")
    run.metrics.add(row(1))
    run.metrics.add(row(2, episode_return_eval=3.0))
    text += read_until(ours, "evaluated 3")
    run.write_done({"reason": "30 generations", "generations": 30, "final_return": 12.0})
    run.note(outcome="done")
    run.release()
    text += read_until(ours, "finished: 30 generations; return 12.00")
    assert process.wait(20) == 0
    os.close(ours)
    assert "╭─ cma-es on CartPole-v1, seed 0" in text.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "\x1b[?25h" in text  # the cursor is back
