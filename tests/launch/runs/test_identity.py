"""A run has one writer from its first byte on, and its checkpoints are its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from esengine.errors import UserError
from esengine.launch.runs.identity import identity
from esengine.launch.runs.run_directory import RunDirectory, default_path
from tests.conftest import Run
from tests.support.training import CONFIG
from tests.support.words import words

TRAIN = words("train cma-es --env-id CartPole-v1 --population-size 6 --generations 2 --quiet")


def test_the_result_decides_the_identity_and_budgets_do_not() -> None:
    own = identity(CONFIG.to_json())
    free: dict[str, Any] = {"generations": 9, "workers": 4, "checkpoint_every": 1}
    for name, value in free.items():
        assert identity(CONFIG.with_train(**{name: value}).to_json()) == own
    assert identity(CONFIG.to_json(), files={"demonstrations.npz": "0f"}) != own
    earlier = CONFIG.to_json()
    earlier["train"] = {"ranks": 2, **earlier["train"]}
    del earlier["train"]["workers"]
    assert identity(earlier) == own
    decisive: dict[str, Any] = {"seed": 1, "hidden_sizes": (5,)}
    for name, value in decisive.items():
        assert identity(CONFIG.with_train(**{name: value}).to_json()) != own
    assert CONFIG.search is not None
    other = replace(CONFIG, search=replace(CONFIG.search, population_size=8))  # type: ignore[type-var]
    assert identity(other.to_json()) != own


def test_a_folder_is_claimed_before_anything_is_written(tmp_path: Path) -> None:
    first = RunDirectory.create(tmp_path / "run", CONFIG, stay_writer=True)
    with pytest.raises(UserError):
        RunDirectory.create(tmp_path / "run", CONFIG.with_train(seed=7))
    assert first.config().train.seed == CONFIG.train.seed
    first.release()


def test_default_folders_of_one_moment_differ() -> None:
    assert default_path(CONFIG) != default_path(CONFIG)


def test_a_checkpoint_of_another_run_is_refused(esengine_here: Run, tmp_path: Path) -> None:
    for seed in ("1", "2"):
        own = ("--seed", seed, "--ranks", "1", "--run-dir", f"seed-{seed}")
        assert esengine_here(*TRAIN, *own).returncode == 0
    for name in ("config.json", "metrics.jsonl", "done.json"):
        shutil.copy(tmp_path / "seed-2" / name, tmp_path / "seed-1" / name)
    before = RunDirectory(tmp_path / "seed-1").config()
    refused = esengine_here("resume", "seed-1", "--generations", "4", "--ranks", "1")
    assert refused.returncode == 2
    assert RunDirectory(tmp_path / "seed-1").config() == before
    assert "must be a checkpoint of the run that config.json describes" in refused.stderr
    assert (tmp_path / "seed-1" / "done.json").exists()
    kept = esengine_here("resume", "seed-2", "--generations", "4", "--ranks", "1", "--quiet")
    assert kept.returncode == 0


def test_records_of_another_run_are_noticed(
    esengine_here: Run, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    for seed in ("1", "2"):
        own = ("--seed", seed, "--ranks", "1", "--run-dir", f"seed-{seed}")
        assert esengine_here(*TRAIN, *own).returncode == 0
    for name in ("metrics.jsonl", "done.json"):
        kept = (tmp_path / "seed-1" / name).read_bytes()
        shutil.copy(tmp_path / "seed-2" / name, tmp_path / "seed-1" / name)
        refused = esengine_here("resume", "seed-1", "--generations", "4", "--ranks", "1")
        assert refused.returncode == 2
        assert f"seed-1/{name} must" in refused.stderr
        assert (tmp_path / "seed-1" / name).read_bytes() == (
            tmp_path / "seed-2" / name
        ).read_bytes()
        recwarn.clear()
        assert esengine_here("status", "seed-1").returncode == 0
        assert f"seed-1/{name} has parts of a run with other settings" in str(recwarn.list[0])
        (tmp_path / "seed-1" / name).write_bytes(kept)
    assert esengine_here("resume", "seed-1", "--generations", "4", "--ranks", "1").returncode == 0


def test_the_identity_of_a_custom_strategy_needs_its_module() -> None:
    config = CONFIG.to_json() | {"method": "a_module_that_is_not_there:Search"}
    assert identity(config, trusted=False) == ""
    with pytest.raises(UserError, match="must name a module that can be imported"):
        identity(config)
