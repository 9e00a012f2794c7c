"""The folders of runs: which ones a run may take, whatever their names, and moving one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.launch.runs.run_directory import RunDirectory
from tests.conftest import Run
from tests.support.words import words

TRUNCATION = ("train", "truncation-es", "--ranks", "1", "--env-id")
CMA = ("train", "cma-es", "--ranks", "1", "--objective")


def test_an_existing_run_is_not_overwritten(esengine_here: Run, tmp_path: Path) -> None:
    arguments = (
        *TRUNCATION,
        *words("CartPole-v1 --population-size 8 --generations 1 --run-dir run"),
    )
    assert esengine_here(*arguments).returncode == 0
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    result = esengine_here(*arguments)
    assert result.returncode == 2
    assert (
        "--run-dir must be new, got run, which holds a run; use esengine resume run"
        in result.stderr
    )
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    for more in ((), ("--generations", "1")):
        result = esengine_here("resume", "run", *more)
        told = "run has finished already: 1 generation; to go on, give it a larger --generations"
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout.startswith(told)
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before


def test_a_start_that_failed_before_its_first_generation_blocks_no_other(
    esengine_here: Run, tmp_path: Path
) -> None:
    arguments = words(
        "--dimension 3 --minimize --run-dir run --generations 1 --population-size 200"
    )
    assert (
        esengine_here(*CMA, "worlds:failing", *arguments, "--max-failed-fraction", "0").returncode
        == 1
    )
    assert (tmp_path / "run" / "failures.jsonl").exists()  # for replay, until the next start
    assert esengine_here(*CMA, "worlds:sphere", *arguments).returncode == 0
    run = RunDirectory(tmp_path / "run")
    run.remove_if_bare()
    assert (run.done() or {})["generations"] == 1
    bare = RunDirectory.create(tmp_path / "bare", run.config()).acquire()
    bare.add_start(1)
    bare.release()
    (bare.path / "slurm").mkdir()
    bare.remove_if_bare()
    assert os.listdir(bare.path) == ["slurm"]


def test_a_folder_with_other_files_is_not_used(esengine_here: Run, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    result = esengine_here(*TRUNCATION, "CartPole-v1", "--run-dir", "notes")
    assert result.returncode == 2
    assert "which holds other files" in result.stderr


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "config": {"method": "magic"}}']
)
def test_resuming_a_damaged_configuration_is_refused(
    esengine_here: Run, tmp_path: Path, text: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(text)
    result = esengine_here("resume", "run")
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("esengine: ")
    assert result.stderr.count("\n") == 1


def test_a_run_that_another_process_holds_is_refused(
    esengine: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = [
        *words("train cma-es --objective worlds:slow_sphere --dimension 3 --minimize --ranks 1")
    ]
    command = [sys.executable, "-m", "esengine", *arguments, "--run-dir", "run"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL
    ) as holder:
        try:
            while not (tmp_path / "run" / "metrics.jsonl").exists():
                assert holder.poll() is None
                os.sched_yield()
            result = esengine("resume", "run", "--trust-modules", "--ranks", "1")
        finally:
            holder.kill()
    assert result.returncode == 2
    assert f"has one writer, and run is held by process {holder.pid} on" in result.stderr
    assert "wait for it or stop it" in result.stderr


@pytest.mark.parametrize(
    ("name", "ranks"),
    [('two words, it\'s "new"\nünï✓ line [bold] :smile: $HOME;ls', "2"), ("-odd", "1")],
)
def test_hostile_folder_names_reach_the_run_unharmed(
    esengine: Run, tmp_path: Path, name: str, ranks: str
) -> None:
    arguments = words(
        "train cma-es --objective worlds:sphere --dimension 3 --minimize --generations 2"
    )
    result = esengine(*arguments, "--ranks", ranks, f"--run-dir={name}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / name / "done.json").exists()
    assert f"run directory {name}" in result.stdout


def test_a_run_may_be_moved_with_the_policy_that_it_began_from(
    esengine_here: Run, tmp_path: Path
) -> None:
    arguments = words(
        "train truncation-es --env-id CartPole-v1 --population-size 8 --generations 1 --ranks 1"
    )
    assert esengine_here(*arguments, "--run-dir", "first").returncode == 0
    assert (
        esengine_here(*arguments, "--init-policy", "first", "--run-dir", "second").returncode == 0
    )
    (tmp_path / "first").rename(tmp_path / "gone")
    (tmp_path / "second").rename(tmp_path / "moved")
    result = esengine_here("resume", "moved", "--generations", "2", "--ranks", "1")
    assert result.returncode == 0, result.stderr
