"""Runs that share their workers: each has the bytes that it has alone, and its own end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.support.runs import rows, same_run
from tests.support.words import words

SEARCH = words(
    "train openai-es --objective worlds:sphere --dimension 3 --minimize --population-size 8"
)
SWEEP = """
dimension = 3
minimize = true
population-size = 8
generations = 3
seeds = "0-1"

[grid]
method = ["openai-es", "snes"]

[[run]]
objective = "worlds:sphere"

[[run]]
objective = "worlds:exiting"
"""


def test_seeds_on_shared_workers_stop_and_resume_with_the_bytes_of_single_runs(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    for seed in "03":
        command = (*SEARCH, "--generations", "6", "--seed", seed, "--workers", "1")
        assert esengine_here(*command, "--run-dir", f"alone-{seed}").returncode == 0

    begun = (*SEARCH, "--generations", "3", "--seeds", "0,3", "--workers", "3", "--run-dir", "set")
    result = esengine(*begun)
    assert result.returncode == 0, result.stdout + result.stderr
    assert [len(rows(tmp_path / "set" / f"seed-{seed}")) for seed in "03"] == [3, 3]

    more = ("resume", "set", "--generations", "6", "--workers", "1", "--trust-modules")
    result = esengine_here(*more)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all runs of set have finished" in result.stdout
    for seed in "03":
        same_run(tmp_path / f"alone-{seed}", tmp_path / "set" / f"seed-{seed}")
    assert "finished already" in esengine_here("resume", "set", "--trust-modules").stdout


def test_a_run_that_fails_ends_alone(esengine_here: Run, tmp_path: Path) -> None:
    (tmp_path / "sweep.toml").write_text(SWEEP)
    result = esengine_here("sweep", "sweep.toml", "--out", "set", "--", "--workers", "1")
    assert result.returncode == 1, result.stdout + result.stderr
    assert "4 failed and 0 stopped of 8 runs" in result.stdout
    assert result.stderr.count("members of generation 1 failed") == 4
    runs = json.loads((tmp_path / "set" / "set.json").read_text())["runs"]
    outcomes = {name: (tmp_path / "set" / name / "done.json").exists() for name in runs}
    assert len(outcomes) == 8
    assert all(done == ("sphere" in name) for name, done in outcomes.items())
    for look in (("watch", "--once"), ("status",), ("report", "--out", "page.html")):
        shown = esengine_here(*look, "set")
        assert shown.returncode == (1 if look[0] == "watch" else 0), shown.stderr
    assert "snes" in esengine_here("watch", "--once", "set").stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid]\nsigma = 1\n", "must give each flag a list of values"),
        ("run = 1\n", r"must be tables \[\[run\]\]"),
        ("sigma = 1\n", "must have a method"),
        ('method = "snes"\n[[run]]\n[[run]]\n', "must differ, got two of seed-0"),
    ],
)
def test_a_file_that_describes_no_sweep_is_refused(
    esengine_here: Run, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "sweep.toml").write_text(text)
    result = esengine_here("sweep", "sweep.toml", "--out", "set")
    assert result.returncode == 2
    assert re.search(message, result.stderr), result.stderr
    assert not (tmp_path / "set").exists()
