"""The benchmark of dispatch measures what it says; its figures are for reading, not for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.ranks import Lengths, draw_lengths
from tests.conftest import REPOSITORY


def dispatch(environment: dict[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    """``python -m benchmarks.dispatch``, at the repository's root."""
    path = os.pathsep.join([str(REPOSITORY), environment.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.dispatch", *flags],
        cwd=REPOSITORY,
        env={**environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_rows_are_written_as_json(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    result = dispatch(environment, "--repeats", "1", "--workers", "2", "--json", str(path))
    assert result.returncode == 0, result.stderr
    rows = json.loads(path.read_text())
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rows)
    assert "master's time a message" in {row["name"] for row in rows}
    assert "MPIPoolExecutor" in result.stdout


def test_a_number_of_workers_that_measures_nothing_is_refused(environment: dict[str, str]) -> None:
    result = dispatch(environment, "--workers", "0")
    assert result.returncode == 2
    assert "--workers must be numbers from 1, got 0" in result.stderr


@pytest.mark.parametrize("lengths", ["constant", "uniform", "exponential"])
def test_lengths_have_the_mean_that_was_asked_for(lengths: Lengths) -> None:
    drawn = draw_lengths(lengths, 0.1, 100_000)
    assert drawn.mean() == pytest.approx(0.1, rel=0.02)
    assert lengths != "uniform" or (drawn.min() >= 0.05 and drawn.max() <= 0.15)
