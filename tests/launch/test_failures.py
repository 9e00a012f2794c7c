"""A member that raises is told on the master with its address, and ends the job within seconds."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest

from tests.conftest import Run

CMA = ("train", "cma-es", "--dimension", "3", "--minimize", "--generations", "20", "--run-dir", "run", "--objective")


@pytest.mark.parametrize("ranks", ["1", "3"])
def test_an_exception_is_told_with_rank_host_generation_member_seed_and_traceback(
    esengine: Run, tmp_path: Path, ranks: str
) -> None:
    result = esengine(*CMA, "worlds:failing", "--ranks", ranks, timeout=60)
    assert result.returncode == 1
    assert "ZeroDivisionError: the simulator diverged" in result.stderr
    assert re.search(r"generation \d+, member \d+, seed \d+ raised:", result.stderr)
    assert result.stderr.count("Traceback (most recent call last)") == 1
    assert "in failing" in result.stderr
    if ranks != "1":
        assert re.search(rf"esengine: worker of rank [1-3] on {socket.gethostname()}: generation", result.stderr)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["starts"][-1]["outcome"] == "failed"
    assert not (tmp_path / "run" / "done.json").exists()


def test_an_environment_that_raises_names_the_episodes_seed(esengine: Run) -> None:
    arguments = ("--env-id", "worlds:TestForgetful-v0", "--ranks", "2", "--generations", "2")
    result = esengine("train", "truncation-es", *arguments, timeout=60)
    assert result.returncode == 1
    assert "ZeroDivisionError: the simulator diverged" in result.stderr
    assert "worlds.py" in result.stderr


def test_busy_workers_do_not_delay_the_end(esengine: Run) -> None:
    """One member raises at once while the others sleep for a minute."""
    result = esengine(*CMA, "worlds:failing_or_sleeping", "--ranks", "3", timeout=45)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


def test_a_simulator_that_calls_exit_is_an_error_too(esengine: Run) -> None:
    result = esengine(*CMA, "worlds:exiting", "--ranks", "2", timeout=60)
    assert result.returncode == 1
    assert "SystemExit" in result.stderr


def test_members_that_are_not_a_number_are_counted_and_ranked_last(esengine: Run, tmp_path: Path) -> None:
    result = esengine(*CMA, "worlds:partly_nan", "--ranks", "2")
    assert result.returncode == 0, result.stderr
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert sum(row["failed_members"] for row in rows) > 0
    assert all(row["cost_min"] is not None for row in rows)


def test_a_generation_without_one_valid_member_ends_the_run(esengine: Run) -> None:
    arguments = ("--env-id", "worlds:TestForgetful-v0", "--env-arg", "fault=nan", "--ranks", "2", "--generations", "2")
    result = esengine("train", "truncation-es", *arguments, "--population-size", "8", "--run-dir", "run")
    assert result.returncode == 1
    assert result.stderr == "esengine: every member of generation 1 failed: no fitness was finite\n"
