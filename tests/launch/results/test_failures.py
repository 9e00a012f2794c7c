"""Members that raise are tried again, then counted as failed with their address; too many end the
run with the reason.
"""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from esengine.launch.runs.json_lines import FailureLog
from tests.conftest import Run
from tests.support.runs import rows, same_run
from tests.support.words import words

CMA = words("train cma-es --dimension 3 --minimize --generations 20 --run-dir run --objective")
FIRST_ENDS = ("--max-failed-fraction", "0", "--member-retries", "0")


@pytest.mark.parametrize("ranks", ["1", "3"])
def test_an_exception_is_told_with_rank_host_generation_member_seed_and_traceback(
    esengine: Run, esengine_here: Run, tmp_path: Path, ranks: str
) -> None:
    start = esengine_here if ranks == "1" else esengine
    result = start(*CMA, "worlds:failing", "--ranks", ranks, "--max-failed-fraction", "0")
    assert result.returncode == 1
    assert "ZeroDivisionError: the simulator diverged" in result.stderr
    assert re.search(r"generation \d+, member \d+, seed \d+ raised:", result.stderr)
    assert result.stderr.count("Traceback (most recent call last)") == 1
    assert "in failing" in result.stderr
    if ranks != "1":
        assert re.search(
            rf"worker of rank [1-3] on {socket.gethostname()}: generation", result.stderr
        )
    assert (
        json.loads((tmp_path / "run" / "config.json").read_text())["starts"][-1]["outcome"]
        == "failed"
    )
    assert not (tmp_path / "run" / "done.json").exists()


def test_an_environment_that_raises_names_the_episodes_seed(esengine_here: Run) -> None:
    arguments = ("--env-id", "worlds:TestForgetful-v0", "--ranks", "1", "--generations", "2")
    result = esengine_here("train", "truncation-es", *arguments)
    assert result.returncode == 1
    assert "ZeroDivisionError: the simulator diverged" in result.stderr
    assert "worlds.py" in result.stderr


def test_busy_workers_do_not_delay_the_end(esengine: Run) -> None:
    """One member raises at once while the others sleep for ten minutes, longer than the program may
    take.
    """
    result = esengine(*CMA, "worlds:failing_or_sleeping", "--ranks", "3", *FIRST_ENDS)
    assert result.returncode == 1
    assert "ZeroDivisionError" in result.stderr


def test_a_simulator_that_calls_exit_is_an_error_too(esengine: Run) -> None:
    result = esengine(*CMA, "worlds:exiting", "--ranks", "2")
    assert result.returncode == 1
    assert "SystemExit" in result.stderr


def test_members_that_are_not_a_number_are_counted_and_ranked_last(
    esengine_here: Run, tmp_path: Path
) -> None:
    result = esengine_here(
        *CMA, "worlds:partly_nan", "--ranks", "1", "--max-failed-fraction", "0.9"
    )
    assert result.returncode == 0, result.stderr
    rows = [
        json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    ]
    assert sum(row["failed_members"] for row in rows) > 0
    assert all(row["cost_min"] is not None for row in rows)


def test_a_generation_without_one_valid_member_ends_the_run(esengine: Run) -> None:
    task = words('train truncation-es --env-id worlds:TestForgetful-v0 --env-arg fault="nan"')
    budget = words("--population-size 8 --sigma 0.5 --generations 2 --ranks 2 --run-dir run")
    result = esengine(*task, *budget)
    assert result.returncode == 1
    assert "members of generation 1 failed, more than --max-failed-fraction 0.5" in result.stderr
    assert "the rewards of an episode must be finite, got a return of nan" in result.stderr
    assert "Traceback" not in result.stderr


def test_members_that_raise_are_counted_recorded_and_the_same_on_any_number_of_ranks(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    for ranks, start in (("1", esengine_here), ("3", esengine)):
        run = tmp_path / ranks
        result = start(
            *CMA[:-2],
            run,
            "--objective",
            "worlds:failing",
            "--ranks",
            ranks,
            "--max-failed-fraction",
            "0.9",
        )
        assert result.returncode == 0, result.stderr
    same_run(tmp_path / "1", tmp_path / "3")
    failures = [FailureLog(tmp_path / ranks).read() for ranks in ("1", "3")]
    addresses = [
        sorted((failure["generation"], failure["member"]) for failure in found)
        for found in failures
    ]
    assert addresses[0] == addresses[1] != []
    assert sum(row["failed_members"] for row in rows(tmp_path / "1")) == len(addresses[0])
    assert all(
        "ZeroDivisionError" in failure["error"] and failure["host"] for failure in failures[1]
    )
    generation, member = addresses[0][-1]
    result = esengine_here(
        "replay", "3", "--generation", str(generation), "--member", str(member), "--trust-modules"
    )
    assert result.returncode == 1
    assert "ZeroDivisionError: the simulator diverged" in result.stderr


def test_observations_of_members_that_raise_stay_out_of_the_statistics(
    esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    task = words("train openai-es --env-id worlds:TestForgetful-v0 --env-arg fault=sometimes")
    budget = words("--population-size 12 --generations 3 --eval-every 1 --max-failed-fraction 1")
    budget += words("--sigma 0.5")  # the observations of trials are not kept
    for ranks, start in (("1", esengine_here), ("2", esengine)):
        result = start(*task, *budget, "--ranks", ranks, "--run-dir", ranks)
        assert result.returncode == 0, result.stderr
    same_run(tmp_path / "1", tmp_path / "2")
    found = rows(tmp_path / "1")
    assert 0 < sum(row["failed_members"] for row in found) < 36
    assert sum(row["failed_eval_episodes"] for row in found) > 0
    with (tmp_path / "1" / "metrics.jsonl").open() as file:
        steps = json.loads(file.readlines()[-1])["env_steps"]
    newest = sorted((tmp_path / "1" / "checkpoints").iterdir())[-1]
    assert load_file(newest / "state.safetensors")["problem/statistics"][0] == steps
