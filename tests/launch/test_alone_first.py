"""Commands without a number of workers begin in one process, and start workers for long work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from esengine.launch.mpirun import local_ranks
from esengine.launch.training import start_and_resume
from esengine.ranks import StopRequest
from tests.conftest import Run
from tests.support.runs import same_run
from tests.support.words import words

TRAIN = words("train cma-es --env-id CartPole-v1 --population-size 8 --generations 6 --sigma 0.5")


def outcomes(run: Path) -> list[tuple[int, str]]:
    starts = json.loads((run / "config.json").read_text())["starts"]
    return [(start["workers"], start["outcome"]) for start in starts]


def test_a_short_run_stays_in_its_process(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_ranks, "available_cores", lambda: 2)
    assert esengine_here(*TRAIN, "--run-dir", "run").returncode == 0
    assert outcomes(tmp_path / "run") == [(1, "done")]


def test_a_long_run_continues_on_workers_with_the_same_bytes(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert esengine_here(*TRAIN, "--workers", "1", "--run-dir", "straight").returncode == 0
    monkeypatch.setattr(local_ranks, "available_cores", lambda: 2)
    monkeypatch.setattr(start_and_resume, "ALONE_S", 1e-3)
    result = esengine_here(*TRAIN, "--run-dir", "run")
    assert result.returncode == 0, result.stderr
    assert outcomes(tmp_path / "run") == [(1, "stopped"), (2, "done")]
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_pause_begins_with_the_first_look_and_ends_with_its_context() -> None:
    stop = StopRequest()
    with stop.pausing_after(0.0):
        assert stop
    assert not stop
    with stop.pausing_after(1000.0):
        assert not stop
