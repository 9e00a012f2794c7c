"""Members and recorded episodes with numbers that are not finite: they fail by one rule in every
method, are named, and leave nothing behind.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from esengine.demonstrations import load_demonstrations
from esengine.launch.cli import main
from esengine.policies import load_policy
from tests.conftest import SUPPORT, Run
from tests.support.runs import rows
from tests.support.words import words

DROPOUT = words("--env-id worlds:TestForgetful-v0 --env-arg fault=sometimes-dropout")
_FEW = words("--final-episodes 2 --eval-episodes 2 --hidden-sizes 8 --generations 2 --quiet")
METHODS = {
    "truncation-es": words("--population-size 20 --episode-seeds member --sigma 0.5"),
    "openai-es": words("--population-size 20 --novelty nsr"),
    "ppo": words("--steps-per-round 80 --epochs 1"),
    "dagger": words(
        "--expert teachers:still --episodes-per-round 8 --epochs-per-round 1 "
        "--validation-episodes 2"
    ),
    "gail": words(
        "--generator openai-es --generator-arg population_size=20 --demonstrations demos.npz "
        "--max-episode-steps 10"
    ),
}


@pytest.fixture(autouse=True)
def _support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.chdir(tmp_path)


def collect() -> None:
    expert = words("--expert teachers:still --episodes 4 --ranks 1 --quiet")
    assert main(["collect", *expert, *DROPOUT]) == 0


@pytest.mark.parametrize("method", METHODS)
def test_such_a_member_fails_and_leaves_nothing_behind(tmp_path: Path, method: str) -> None:
    if method == "gail":
        collect()
    arguments = ["train", method, *DROPOUT, *METHODS[method], *_FEW]
    assert main([*arguments, "--ranks", "1", "--run-dir", "run"]) == 0

    failed = [row["failed_members"] for row in rows(tmp_path / "run")]
    assert sum(failed) > 0
    lines = (tmp_path / "run" / "failures.jsonl").read_text().splitlines()
    assert "an observation must be finite in float32, got nan as number 1" in lines[0]
    purposes = [json.loads(line)["purpose"] for line in lines]
    assert sum(purpose.startswith(("episode", "record")) for purpose in purposes) == sum(failed)
    assert np.isfinite(load_policy(tmp_path / "run").observation_mean).all()

    if method == "truncation-es":
        (newest,) = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1:]
        statistics = load_file(newest / "state.safetensors")["problem/statistics"]
        steps_of_others = rows(tmp_path / "run")[-1]["env_steps"]
        assert statistics[0] == steps_of_others


def test_collected_episodes_are_those_without_such_a_number() -> None:
    collect()
    found = load_demonstrations(["demos.npz"], trust_modules=True)
    assert len(found.trajectories) == 4


HUGE = """
import sys

def cost(x):
    return sys.float_info.max if x[0] < 1 else float((x * x).sum())

def always(x):
    return 1.7e308 * min(1.0, float((x * x).sum()) + 0.5)
"""


@pytest.mark.parametrize(
    ("method", "objective"), [("cma-es", "cost"), ("cma-es", "always"), ("ars", "cost")]
)
def test_huge_costs_give_rows_of_json_silence_and_a_report(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, objective: str
) -> None:
    (tmp_path / "huge_costs.py").write_text(HUGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ended = esengine_here(
            *words(f"train {method} --objective huge_costs:{objective} --dimension 4 --minimize"),
            *words("--initial-mean 2 --ranks 1 --generations 12 --quiet --run-dir run"),
        )
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
        report = esengine_here(*words("report run --out page.html"))
        assert report.returncode == 0, report.stderr
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").open()]
    assert "Infinity" not in (tmp_path / "run/metrics.jsonl").read_text()
    assert all(math.isfinite(row["fitness_mean"] + row["fitness_std"] / 2) for row in rows)
