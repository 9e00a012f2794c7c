"""Members in a child of each worker: crashes cost a fork, and change no result."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from esengine.isolation import zygote_of_process
from tests.conftest import Run
from tests.support.launches import under_mpirun
from tests.support.learners import demonstrations
from tests.support.runs import rows, same_run
from tests.support.words import words

FAULTY = words(
    "train cma-es --objective simulations:faulty --dimension 3 --minimize --sigma 0.5 "
    "--generations 6 --max-failed-fraction 1 --checkpoint-every 2"
)
ERRORS = {
    "exit": "it ended its process with exit status 3",
    "segfault": "its process was ended by SIGSEGV",
    "hang": "its process was killed, since it took longer than --member-timeout 0.5 s",
    "killed": "ZeroDivisionError",
}


def errors(run: Path) -> set[str]:
    lines = (run / "failures.jsonl").read_text().splitlines()
    return {json.loads(line)["error"].splitlines()[-1] for line in lines}


@pytest.mark.parametrize("fault", ERRORS)
def test_a_member_that_ends_its_process_is_as_one_that_raises(
    esengine_here: Run, tmp_path: Path, fault: str
) -> None:
    more = words("--member-timeout 0.5 --member-retries 0" if fault == "hang" else "")
    plain = esengine_here(*FAULTY, *more, *words("--ranks 1 --run-dir raise"), FAULT="raise")
    assert plain.returncode == 0, plain.stderr
    isolated = (*FAULTY, *(more or ("--isolate",)))
    result = esengine_here(*isolated, *words("--ranks 1 --run-dir run"), FAULT=fault)
    assert result.returncode == 0, result.stderr
    same_run(tmp_path / "raise", tmp_path / "run")
    (error,) = errors(tmp_path / "run")
    assert ERRORS[fault] in error


def test_ranks_without_fault_tolerance_survive_crashes(esengine_here: Run, tmp_path: Path) -> None:
    alone = esengine_here(*FAULTY, *words("--ranks 1 --run-dir raise"), FAULT="raise")
    assert alone.returncode == 0
    command = (*FAULTY, "--isolate", "--run-dir", "run")
    result = under_mpirun(3, tmp_path, "-m", "esengine", *command, FAULT="segfault")
    assert result.returncode == 0, result.stderr
    same_run(tmp_path / "raise", tmp_path / "run")
    machine = [
        json.loads(line)["machine"]
        for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert {each["lost_workers"] for each in machine} == {0}


@pytest.mark.parametrize(
    "task",
    [
        "truncation-es --env-id CartPole-v1 --population-size 20 --sigma 0.3",
        "openai-es --env-id simulations:TestInformed-v0 --returns m:energy --population-size 8 "
        "--sigma 0.3",
        "openai-es --env-id esengine/PointMaze-v0 --goals curriculum --population-size 8",
        "cma-es --objective simulations:noisy_beam --dimension 2 --returns cost g:stress m:speed",
        "cma-es --objective simulations:beams --dimension 2 --returns cost g:stress m:speed "
        "--batch 4",
        "dagger --env-id CartPole-v1 --expert worlds:upright --episodes-per-round 3",
        "gail --demonstrations demos.npz --generator snes --generator-arg population_size=8",
        "ppo --env-id Pendulum-v1 --steps-per-round 400",
    ],
)
def test_isolated_members_have_the_same_bits(esengine_here: Run, tmp_path: Path, task: str) -> None:
    demonstrations(tmp_path / "demos.npz")
    start = words(f"train {task} --generations 3 --eval-every 2 --ranks 1")
    for name, more in (("plain", ()), ("isolated", ("--isolate",))):
        result = esengine_here(*start, *more, "--run-dir", name)
        assert result.returncode == 0, result.stderr
    same_run(tmp_path / "plain", tmp_path / "isolated")


def test_an_episode_that_hangs_while_it_is_recorded_is_as_one_that_raises(
    esengine_here: Run, tmp_path: Path
) -> None:
    start = words(
        "train ppo --steps-per-round 40 --env-id worlds:TestForgetful-v0 --generations 1 --ranks 1 "
        "--member-timeout 1 --member-retries 0 --eval-every 9 --final-episodes 4 --seed 3 --eval-episodes 4"
    )
    for fault in ("raise", "hang"):
        result = esengine_here(*start, "--run-dir", fault, FAULT=f"sometimes-{fault}")
        assert result.returncode == 0, result.stderr
    same_run(tmp_path / "raise", tmp_path / "hang")
    assert errors(tmp_path / "hang") == {
        "its process was killed, since it took longer than --member-timeout 1 s"
    }


def test_what_an_objective_leaves_behind_disturbs_nothing(
    esengine_here: Run, tmp_path: Path
) -> None:
    start = words("train cma-es --objective simulations:messy --dimension 3 --minimize")
    budget = words("--generations 3 --ranks 1 --run-dir run --isolate --sigma 0.5")
    folder = os.getcwd()
    result = esengine_here(*start, *budget)
    assert result.returncode == 0, result.stderr
    assert os.getcwd() == folder
    assert len(rows(tmp_path / "run")) == 3
    assert json.loads((tmp_path / "run" / "done.json").read_text())["generations"] == 3


def test_isolation_belongs_to_functions_and_environments(esengine_here: Run) -> None:
    start = words("train cma-es --command true --dimension 2 --ranks 1 --isolate")
    result = esengine_here(*start)
    assert result.returncode == 2
    assert "--isolate must be used with --objective or --env-id" in result.stderr


@pytest.fixture(autouse=True, scope="module")
def _end_of_the_zygote() -> object:
    """End the process that this process has forked."""
    yield
    zygote = zygote_of_process()
    if zygote is not None:
        zygote.close()
