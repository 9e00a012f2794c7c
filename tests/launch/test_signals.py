"""Stopping by signal: a checkpoint, exit status 75, nothing left behind, and an exact
continuation.
"""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from esengine.launch.cli import main
from esengine.launch.runs.run_lock import wait_until_free
from tests.conftest import Run
from tests.support.launches import mpirun, variables
from tests.support.runs import same_run
from tests.support.terminals import read_to_the_end, read_until
from tests.support.words import words

TASK = ("--env-id", "CartPole-v1", "--env-backend", "gymnasium", "--max-episode-steps", "100")
ARGUMENTS = ("train", "truncation-es", *TASK, "--population-size", "64")


def living(mark: str) -> list[int]:
    """Processes whose environment carries the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def wait_for_rows(run: Path, process: subprocess.Popen[str], count: int) -> None:
    path = run / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_text().count("\n") < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for_the_end(mark: str) -> None:
    deadline = time.monotonic() + 10
    while living(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert living(mark) == []


def stop_and_check(
    process: subprocess.Popen[str],
    run: Path,
    number: signal.Signals,
    mark: str,
    expected_status: int = 75,
) -> str:
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == expected_status, (output, errors)
    assert any((run / "checkpoints").iterdir())
    assert not (run / "done.json").exists()
    wait_for_the_end(mark)
    assert "Traceback" not in errors, errors
    return output


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 25 generations that nothing stopped."""
    run = tmp_path_factory.mktemp("straight") / "run"
    assert (
        main([*ARGUMENTS, "--generations", "25", "--ranks", "1", "--quiet", "--run-dir", str(run)])
        == 0
    )
    return run


@pytest.mark.parametrize(
    ("ranks", "number"),
    [("1", signal.SIGINT), ("3", signal.SIGTERM), ("3", signal.SIGUSR1)],
)
def test_a_signal_stops_with_a_checkpoint_and_resume_goes_on_exactly(
    esengine: Run,
    esengine_here: Run,
    tmp_path: Path,
    environment: dict[str, str],
    straight: Path,
    number: signal.Signals,
    ranks: str,
) -> None:
    mark = f"mark-{uuid.uuid4()}"
    command = [
        sys.executable,
        "-m",
        "esengine",
        *ARGUMENTS,
        "--generations",
        "25",
        "--ranks",
        ranks,
        "--run-dir",
        "run",
    ]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env={**environment, "MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_rows(tmp_path / "run", process, 2)
    output = stop_and_check(process, tmp_path / "run", number, mark)
    assert "stopped with a checkpoint; resume with: esengine resume run" in output
    assert (
        json.loads((tmp_path / "run" / "config.json").read_text())["starts"][-1]["outcome"]
        == "stopped"
    )
    if number == signal.SIGTERM:  # which signal it was is not to be seen any more
        assert esengine("resume", "run", "--ranks", "2").returncode == 0
    else:
        assert esengine_here("resume", "run", "--ranks", "1").returncode == 0
    same_run(straight, tmp_path / "run")


def test_a_generation_that_was_stopped_halfway_keeps_its_finished_chunks(
    esengine_here: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    arguments = [*words("train cma-es --objective worlds:slow_sphere --dimension 3 --minimize")]
    arguments += ["--population-size", "100", "--generations", "2"]
    mark = f"mark-{uuid.uuid4()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "esengine", *arguments, "--ranks", "2", "--run-dir", "run"],
        cwd=tmp_path,
        env={**environment, "MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_rows(tmp_path / "run", process, 1)
    time.sleep(0.3)
    stop_and_check(process, tmp_path / "run", signal.SIGTERM, mark)
    (newest,) = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert newest.startswith("000001+")
    assert 0 < int(newest.split("+")[1]) < 100
    assert esengine_here("resume", "run", "--trust-modules", "--ranks", "1").returncode == 0
    assert esengine_here(*arguments, "--ranks", "1", "--run-dir", "straight").returncode == 0
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_signal_before_the_first_generation_can_be_resumed(
    esengine_here: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    mark = f"mark-{uuid.uuid4()}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "esengine",
            *ARGUMENTS,
            *words("--generations 2 --ranks 2 --run-dir run"),
        ],
        cwd=tmp_path,
        env={**environment, "MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "run" / "config.json").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (75, "")
    assert (
        output.splitlines()[-1]
        == "stopped before the first checkpoint; start again with: esengine resume run"
    )
    wait_for_the_end(mark)
    assert esengine_here("resume", "run", "--ranks", "1").returncode == 0
    assert json.loads((tmp_path / "run" / "done.json").read_text())["generations"] == 2


def test_under_the_users_own_mpirun_lines_say_first_what_ctrl_c_leaves(
    esengine_here: Run, tmp_path: Path
) -> None:
    """In a terminal, where mpirun gives each rank another one, passes no output on and kills the
    ranks a tenth of a second after SIGTERM. On a busy machine a rank may get no core so soon, so
    that one of three tries must do.
    """
    for _ in range(3):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        if _outcome_of_a_stop_by_mpirun(tmp_path) == "stopped":
            break
    else:
        pytest.fail("no checkpoint was saved in any of three tries")
    generation = int(
        sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())[-1][:6]
    )
    assert generation >= 1
    result = esengine_here("resume", "run", "--generations", str(generation + 1), "--ranks", "1")
    assert result.returncode == 0, result.stderr


def _outcome_of_a_stop_by_mpirun(folder: Path) -> str | None:
    """Stop a run by Ctrl-C in a terminal; returns the outcome in its record."""
    mark = f"mark-{uuid.uuid4()}"
    command = [*mpirun(3), "-m", "esengine", *ARGUMENTS, "--generations", "60", "--run-dir", "run"]
    environment = {**variables(), "MARK": mark, "TERM": "xterm-256color", "COLUMNS": "120"}
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.execve(command[0], command, environment)
    text = read_until(terminal, "steps/s")
    lines = text.splitlines()
    assert lines[:3] == [
        "truncation-es on CartPole-v1, seed 0, in run",
        "live panel, in another shell: esengine watch run",
        "Ctrl-C saves a checkpoint and mpirun exits with 1; resume with: esengine resume run",
    ]
    assert lines[-1].startswith("generation 1  ")
    assert "\x1b" not in text
    os.write(terminal, b"\x03")
    read_to_the_end(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1  # by mpirun, whatever ranks return
    wait_for_the_end(mark)
    # a process that ends loses its environment a moment before its locks
    wait_until_free(folder / "run", 60)
    record = json.loads((folder / "run" / "config.json").read_text())
    outcome: str | None = record["starts"][-1].get("outcome")
    return outcome


def test_killing_the_launcher_ends_its_ranks(
    esengine: Run, tmp_path: Path, environment: dict[str, str]
) -> None:
    mark = f"mark-{uuid.uuid4()}"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "esengine",
            *ARGUMENTS,
            *words("--generations 60 --ranks 2 --run-dir run"),
        ],
        cwd=tmp_path,
        env={**environment, "MARK": mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_rows(tmp_path / "run", process, 2)
    process.kill()
    process.communicate()
    wait_for_the_end(mark)
    result = esengine(
        "resume", "run", "--generations", "3", "--ranks", "2"
    )  # also clears shared memory
    assert result.returncode == 0, result.stderr
    assert os.path.exists(tmp_path / "run" / "done.json")

    # ranks go on with a finished run whose launcher has given it more to do
    begun = json.loads((tmp_path / "run" / "done.json").read_text())["generations"]
    result = esengine("resume", "run", "--generations", str(begun + 1), "--ranks", "2")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "run" / "done.json").read_text())["generations"] == begun + 1
