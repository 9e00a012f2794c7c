"""A run holds what it begins from, and opens no file elsewhere without consent."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import CMAESSettings
from esengine.errors import UserError
from esengine.launch.runs.copied_files import COPIES, copy_given, copy_starts, with_copies
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.storage import Checkpoint, save_checkpoint
from esengine.user_code import check_trusted
from tests.conftest import Run
from tests.support.training import CONFIG
from tests.support.words import words

HOSTILE = Path("/dev/zero")
SPACE = TrainSettings(objective="problems:sphere", dimension=2000)


def test_recorded_paths_are_replaced_by_those_of_the_copies(tmp_path: Path) -> None:
    files = ("init_policy", "reward", "potential")
    vectors = ("initial_mean", "lower_bound", "upper_bound", "variable_scales")
    train = TrainSettings(env_id="CartPole-v1", **dict.fromkeys((*files, *vectors), HOSTILE))  # type: ignore[arg-type]
    search = CMAESSettings(inject=str(HOSTILE), warm_start=str(HOSTILE / ".."))
    config = with_copies(RunConfig("cma-es", train, search), tmp_path)
    found = [Path(getattr(config.train, name)) for name in (*files, *vectors)]
    found += [Path(getattr(config.search, name)) for name in ("inject", "warm_start")]
    assert {path.parent for path in found} == {tmp_path}
    assert {path.name for path in found} < set(COPIES)


def test_long_vectors_are_files_of_the_run(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).normal(size=2000)
    given: dict[str, Any] = {"initial_mean": tuple(numbers.tolist()), "lower_bound": -9.0}
    train = replace(SPACE, **given)
    copies = copy_given(tmp_path, train)
    assert copies == {"initial_mean": Path("initial_mean.npy")}
    config = with_copies(CONFIG.with_train(**given | copies), tmp_path)
    kept = replace(SPACE, initial_mean=config.train.initial_mean)
    np.testing.assert_array_equal(kept.start(kept.space(2000)), numbers)


def test_points_and_distributions_are_files_of_the_run(tmp_path: Path) -> None:
    run = tmp_path / "elsewhere"
    arrays = {"mean": np.ones(3), "sigma": np.array(0.5), "C": 2 * np.eye(3), "p_c": np.ones(3)}
    (run / "checkpoints").mkdir(parents=True)
    state = {f"strategy/{name}": array for name, array in arrays.items()}
    save_checkpoint(run / "checkpoints", Checkpoint(7, state, {}), keep=1)
    np.save(run / "points.npy", np.full((2, 3), 0.25))
    search = CMAESSettings(warm_start=str(run), inject=str(run / "points.npy"))
    own = tmp_path / "run"
    own.mkdir()
    copies: dict[str, Any] = copy_starts(own, search)
    shutil.rmtree(run)
    kept = with_copies(replace(CONFIG, search=replace(search, **copies)), own)
    strategy: Any = kept.search.strategy(np.zeros(3), 0)
    assert (strategy.sigma, strategy.C[0, 0], strategy.mean.tolist()) == (0.5, 2.0, [1.0] * 3)
    assert strategy.ask().num_injected == 2


@pytest.mark.parametrize("text", ["./model.xml", "/dev/zero", "~/model.xml", "a/b", "here", "m:x"])
def test_files_and_modules_of_recorded_arguments_need_consent(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("here")
    train = TrainSettings(env_id="Ant-v5", env_arg=(f"xml_file={text}", "here=1", 'a=["b"]'))
    config = RunConfig("cma-es", train, CMAESSettings())
    assert config.modules == (text,)
    with pytest.raises(UserError, match="add --trust-modules if you trust its author"):
        check_trusted("run", *config.modules)


def test_a_foreign_run_opens_no_model_without_consent(esengine_here: Run, tmp_path: Path) -> None:
    train = "train snes --env-id CartPole-v1 --population-size 4 --generations 1 --ranks 1 --quiet"
    assert esengine_here(*words(train), "--run-dir", "run").returncode == 0
    record = tmp_path / "run" / "config.json"
    changed = record.read_text().replace('"env_arg": []', '"env_arg": ["xml_file=./pipe"]')
    record.write_text(changed)
    os.mkfifo(tmp_path / "pipe")
    refused = esengine_here("resume", "run", "--generations", "2", "--ranks", "1")
    assert refused.returncode == 2
    assert "run names the file './pipe', whose bytes would be read" in refused.stderr


def test_a_copy_that_was_replaced_is_refused(esengine_here: Run, tmp_path: Path) -> None:
    np.save(tmp_path / "bounds.npy", np.full(1001, -5.0))
    train = "train sep-cma-es --objective worlds:sphere --dimension 1001 --minimize --sigma 0.1"
    ends = "--lower-bound bounds.npy --generations 1 --ranks 1 --quiet --run-dir run"
    assert esengine_here(*words(f"{train} {ends}")).returncode == 0
    own = tmp_path / "run" / "lower_bound.npy"
    kept = own.read_bytes()
    np.save(own, np.full(1001, -6.0))
    resume = words("resume run --generations 2 --ranks 1 --trust-modules --quiet")
    refused = esengine_here(*resume)
    assert refused.returncode == 2
    assert "that it began from, got another lower_bound.npy" in refused.stderr
    own.write_bytes(kept)
    assert esengine_here(*resume).returncode == 0
