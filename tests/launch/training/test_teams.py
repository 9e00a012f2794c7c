"""A team of ranks for each member: its deaths and failures change no result."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import numpy as np
import pytest

from tests.chaos.scenarios import Run as Disturbed
from tests.conftest import SUPPORT, Run
from tests.support import processes
from tests.support.runs import rows, same_run
from tests.support.words import words

SHARED = words(
    "train cma-es --objective simulations:shared --dimension 3 --minimize --sigma 0.5 --quiet "
    "--max-failed-fraction 1 --checkpoint-every 2 --ranks-per-member 2"
)

HERE = {"PYTHONPATH": str(SUPPORT)}  # for the ranks of teams


def errors(run: Path) -> list[str]:
    lines = (run / "failures.jsonl").read_text().splitlines()
    return [json.loads(line)["error"] for line in lines]


def test_killed_ranks_of_teams_and_the_number_of_teams_change_no_bit(
    esengine_here: Run, tmp_path: Path
) -> None:
    task = (*SHARED, *words("--generations 8 --seed 3"))
    alone = esengine_here(*task, *words("--workers 1 --run-dir alone"), **HERE)
    assert alone.returncode == 0, alone.stderr
    run = Disturbed(tmp_path, random.Random(0))
    run.start(*task, *words("--workers 2 --run-dir run"), PAUSE_S="0.05")
    run.wait_for_generation(1)
    for number in (0, 1):
        processes.kill(processes.team_ranks(run.mark)[number : number + 1], signal.SIGKILL)
        run.wait_for_generation(3 + number)
    status, said = run.end()
    assert status == 0, said
    same_run(tmp_path / "alone", tmp_path / "run")
    assert not (tmp_path / "run" / "failures.jsonl").exists()
    last = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["machine"]["lost_workers"] == 0


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("raise alone", "ZeroDivisionError: the simulator diverged"),
        ("exit", "rank 1 of its team ended"),
        ("hang", "it took longer than --member-timeout 1 s"),
    ],
)
def test_a_member_that_fails_on_one_rank_is_as_one_that_fails_on_all(
    esengine_here: Run, tmp_path: Path, fault: str, error: str
) -> None:
    task = (*SHARED, *words("--generations 2 --member-retries 0 --workers 1 --seed 2"))
    for name, chosen, more in (("all", "raise", ""), ("one", fault, "--member-timeout 1")):
        started = words(more if fault == "hang" else "")
        result = esengine_here(*task, *started, "--run-dir", name, **HERE, FAULT=chosen)
        assert result.returncode == 0, result.stderr
    same_rows = [rows(tmp_path / name) for name in ("all", "one")]
    assert same_rows[0] == same_rows[1]
    found = errors(tmp_path / "one")
    assert found
    assert all(error in each for each in found)


def test_an_environment_gets_the_communicator_by_an_argument(
    esengine_here: Run, tmp_path: Path
) -> None:
    start = words("train openai-es --population-size 6 --generations 2 --eval-every 1 --workers 1")
    shared = words("--env-id simulations:TestShared-v0 --env-arg comm=@team --ranks-per-member 2")
    plain = words("--env-id simulations:TestInformed-v0 --env-backend gymnasium")
    for name, task in (("shared", shared), ("plain", plain)):
        result = esengine_here(*start, *task, "--run-dir", name, **HERE)
        assert result.returncode == 0, result.stderr
    fitness = [
        [row["fitness_mean"] for row in rows(tmp_path / name)] for name in ("shared", "plain")
    ]
    np.testing.assert_allclose(fitness[0], fitness[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ("--objective simulations:shared --isolate", "--isolate belongs to one rank per member"),
        ("--objective simulations:shared --batch 2", "--batch belongs to one rank per member"),
        ("--objective simulations:beam", "an objective that takes the team's communicator as a"),
        ("--command true", "--command belongs to one rank per member"),
        ("--env-id CartPole-v1", "--env-arg comm=@team"),
        ("--env-id CartPole-v1 --env-backend compiled", "an environment that is stepped"),
    ],
)
def test_what_a_team_cannot_evaluate_is_refused(
    esengine_here: Run, flags: str, sentence: str
) -> None:
    more = "" if "--env-id" in flags else "--dimension 2"
    result = esengine_here(*words(f"train cma-es {flags} {more} --ranks-per-member 2 --workers 1"))
    assert result.returncode == 2
    assert sentence in result.stderr


def test_a_team_needs_as_many_cores_as_ranks(
    esengine_here: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = words("train cma-es --objective simulations:shared --dimension 2 --ranks-per-member")
    result = esengine_here(*task, "4000")
    assert result.returncode == 2
    assert "--ranks-per-member must be at most the processor cores of this machine" in result.stderr
    result = esengine_here(
        *task, "4", SLURM_JOB_ID="7", SLURM_TASKS_PER_NODE="3", SLURM_CPUS_PER_TASK="6"
    )
    assert result.returncode == 2
    assert "must divide the processor cores of a task of this Slurm job, got 4" in result.stderr
