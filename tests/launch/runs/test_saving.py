"""Saving while the run goes on: nobody waits for the disk, and a disk that refuses is told and
tried again.
"""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.algorithms.evolution.openai_es import OpenAIESSettings
from esengine.errors import WorkerError
from esengine.launch.runs import charts, json_lines, saving
from esengine.launch.runs.json_lines import FailureLog
from esengine.launch.runs.result import RunResult
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.run import run
from esengine.ranks import World
from esengine.ranks.signals import outlive
from esengine.storage import Checkpoint, checkpoints, load_newest, save_checkpoint
from tests.conftest import Run
from tests.support.runs import rows, same_run
from tests.support.training import training
from tests.support.words import words


def test_a_run_whose_charts_fail_is_done(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise TypeError("set_text(): incompatible function arguments\nand another line")

    monkeypatch.setattr(charts, "curve", fail)
    monkeypatch.setattr(charts, "SHORT_RUN_S", 0.0)
    train = "train truncation-es --env-id CartPole-v1 --generations 1 --ranks 1 --run-dir run"
    finished = esengine_here(*words(train))
    assert finished.returncode == 0
    assert finished.stderr.count("run/curve.png cannot be drawn: TypeError: set_text()") == 1
    assert json.loads((tmp_path / "run" / "done.json").read_text())["generations"] == 1


def test_generations_go_on_while_a_checkpoint_of_ten_million_parameters_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first checkpoint is held until three more generations are done, so the loop cannot have
    waited for it.
    """
    config = RunConfig(
        "openai-es",
        TrainSettings(
            env_id="CartPole-v1",
            env_backend="gymnasium",
            hidden_sizes=(3160, 3160),
            max_episode_steps=1,
            noise_table_size=0,
            generations=5,
            checkpoint_every=1,
            keep_checkpoints=1,
            eval_every=0,
            final_episodes=1,
        ),
        OpenAIESSettings(population_size=2, optimizer="sgd"),
    )
    directory = RunDirectory.create(tmp_path / "run", config)
    three_more, events = threading.Event(), []

    def held(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
        if checkpoint.generation == 1:
            assert three_more.wait(120)
        path = save_checkpoint(folder, checkpoint, keep)
        events.append(f"saved {checkpoint.generation}")
        return path

    def seen(row: dict[str, Any]) -> None:
        events.append(f"generation {row['generation']}")
        if row["generation"] == 4:
            three_more.set()

    monkeypatch.setattr(saving, "save_checkpoint", held)
    result = run(World(), config, directory, None, (seen,))
    assert isinstance(result, RunResult)
    assert events[:4] == ["generation 1", "generation 2", "generation 3", "generation 4"]
    assert events.index("saved 1") < events.index("saved 5") == len(events) - 1
    newest = load_newest(directory.checkpoints)
    assert newest is not None
    assert result.parameters.size > 10_000_000
    np.testing.assert_array_equal(newest.arrays["strategy/mean"], result.parameters)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_refuses_for_a_while_is_told_once_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    assert training(tmp_path / "straight").run().finished
    calls = 0

    def refuse(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise OSError(number, os.strerror(number))
        return original(*arguments)

    original = os.write
    monkeypatch.setattr(os, "write", refuse)  # what rows are appended by
    assert training(tmp_path / "run").run().finished
    words = capsys.readouterr().err.splitlines()
    assert words == [
        f"esengine: {tmp_path / 'run'} cannot be written: {os.strerror(number)}; "
        "training goes on, and every checkpoint that is due tries again"
    ]
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_folder_that_vanishes_is_not_made_again_and_the_run_fails_at_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = training(tmp_path / "run")
    loop.callbacks = (
        lambda row: (
            (tmp_path / "run").rename(tmp_path / "gone") if row["generation"] == 1 else None
        ),
    )
    with pytest.raises(
        WorkerError,
        match=r"the final state could not be saved in .*No such file or directory; there is no",
    ):
        loop.run()
    assert loop.method.generation == 4
    assert capsys.readouterr().err.count("cannot be written: No such file or directory") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_that_another_process_took_over_stops_without_writing(tmp_path: Path) -> None:
    loop = training(tmp_path / "run")
    assert loop.directory is not None
    loop.directory.acquire()
    (tmp_path / "run" / "lock").unlink()
    (tmp_path / "run" / "lock").write_text("{}")
    with pytest.raises(WorkerError, match="another process took over"):
        loop.run()
    assert not checkpoints(tmp_path / "run" / "checkpoints")


FULL = """
mount -t tmpfs -o size=400k none small
$TRAIN --run-dir small/run --generations 400 --checkpoint-every 5; echo status $?
python3 - <<'END'
import json, pathlib
print('rows whole', all(json.loads(line) for line in pathlib.Path('small/run/metrics.jsonl').read_bytes().splitlines()))
END
mount -o remount,size=64m small
$RESUME small/run; echo status $?
cp -r small/run full
mount -o remount,ro small
$RESUME small/run --generations 401; echo status $?
"""


def test_a_disk_that_fills_ends_with_status_1_and_resumes_to_the_same_bytes(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    (tmp_path / "small").mkdir()
    program = f"{sys.executable} -P -m esengine"
    train = (
        f"{program} train openai-es --objective worlds:sphere --dimension 800 --minimize "
        f"--population-size 8"
    )
    variables = {
        "TRAIN": f"{train} --ranks 1 --noise-table-size 65536",
        "RESUME": f"{program} resume --trust-modules --ranks 1",
    }
    command = ["unshare", "--mount", "bash", "-c", FULL]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    statuses = [
        line for line in result.stdout.splitlines() if line.startswith(("status", "rows whole"))
    ]
    assert statuses == ["status 1", "rows whole True", "status 0", "status 2"], (
        result.stdout + result.stderr
    )
    assert result.stderr.count("cannot be written: No space left on device; training goes on") == 1
    assert (
        "the final state could not be saved in small/run: No space left on device; the newest "
        "checkpoint is" in result.stderr
    )
    assert "a run directory must be writable, got small/run: Read-only file system" in result.stderr
    assert "Traceback" not in result.stderr
    straight = f"{variables['TRAIN']} --run-dir straight --generations 400 --checkpoint-every 5"
    subprocess.run(
        ["bash", "-c", straight], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert rows(tmp_path / "straight") == rows(tmp_path / "full")
    best = [
        json.loads((tmp_path / name / "best.json").read_text()) for name in ("straight", "full")
    ]
    assert best[0] == best[1]


def test_a_checkpoint_is_written_without_a_thread_where_there_are_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    loop = training(tmp_path / "run")
    assert loop.run().finished
    assert load_newest(tmp_path / "run" / "checkpoints") is not None


def test_a_copy_that_saves_waits_for_the_checkpoint_that_a_thread_is_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would rename a folder to the same name."""
    order = tmp_path / "order"

    def slow(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
        time.sleep(0.5)
        with order.open("a") as file:
            file.write("thread\n")
        return save_checkpoint(folder, checkpoint, keep)

    monkeypatch.setattr(saving, "save_checkpoint", slow)
    loop = training(tmp_path / "run")
    saver = loop._saver
    assert saver is not None
    saver.save(loop.snapshot())

    def copy() -> None:
        with order.open("a") as file:
            file.write("copy\n")

    outlive(copy, first=saver.join)
    assert order.read_text() == "thread\ncopy\n"


def test_failures_that_a_full_disk_refused_are_written_with_the_next_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, image: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    log = FailureLog(tmp_path)
    failures = [{"generation": 1, "purpose": "episode", "member": n} for n in range(2)]
    with monkeypatch.context() as patch:
        patch.setattr(json_lines, "append_whole", refuse)
        with pytest.warns(UserWarning, match="lacks failures of members: No space left on device"):
            log.add(failures[:1])
    log.add(failures[1:])
    assert log.read() == failures
