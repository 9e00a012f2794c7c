"""The benchmarks measure what they say; their figures are for reading, not for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esengine.environments import EnvironmentSpec, describe
from esengine.launch.bench.figures import Figure, report
from esengine.launch.bench.rollouts import PlainLoop
from esengine.launch.bench.training_runs import figures_of
from esengine.policies import Actor, PolicySpec
from esengine.simulators import make_simulator
from tests.conftest import Run

FLAGS = {
    "kernels": (),
    "rollouts": ("--env-ids", "CartPole-v1"),
    "scaling": ("--env-id", "CartPole-v1"),
}


@pytest.mark.parametrize("subject", FLAGS)
def test_a_subject_writes_its_rows_as_json(esengine: Run, tmp_path: Path, subject: str) -> None:
    flags = ("--repeats", "1", "--json", "rows.json", *FLAGS[subject])
    result = esengine("bench", subject, *flags)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(list(row) == ["name", "value", "unit", "against", "ratio", "goal"] for row in rows)
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rows)
    assert result.returncode == 0, result.stderr
    assert rows[0]["name"].split(",")[0] in result.stdout


def test_an_unknown_subject_lists_the_known_ones(esengine_here: Run) -> None:
    result = esengine_here("bench", "lunch")
    assert result.returncode == 2
    assert "bench must be one of kernels, rollouts, scaling, profile" in result.stderr


def test_the_shares_of_a_profile_add_up_to_one(esengine: Run, tmp_path: Path) -> None:
    arguments = ("--env-id", "CartPole-v1", "--generations", "10", "--json", "rows.json")
    result = esengine("bench", "profile", *arguments)
    assert result.returncode == 0, result.stderr
    shares = {row["name"]: row["value"] for row in json.loads((tmp_path / "rows.json").read_text())}
    assert set(shares) == {
        "rollouts", "waiting", "publish", "update", "evaluate_policy", "checkpoint", "charts", "other"
    }  # fmt: skip
    assert sum(shares.values()) == pytest.approx(1)


def test_a_profile_tells_rollouts_from_waiting() -> None:
    seconds = {"evaluate": 1.8, "publish": 0.2, "update": 0.5}
    rows = [
        {"elapsed_s": elapsed, "busy_share": 0.75, "seconds": seconds} for elapsed in (2.5, 6.0)
    ]
    shares = {figure.name: figure.value for figure in figures_of(rows, workers=3)}
    expected = {"rollouts": 3.0, "waiting": 0.6, "publish": 0.4, "update": 1.0, "other": 1.0}
    assert shares == pytest.approx({part: value / 6 for part, value in expected.items()})


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--generations", "0"), "--generations must be at least 1, got 0"),
        (("--repeats", "0"), "--repeats must be at least 1, got 0"),
        (("--env-id", "Nothing-v0"), "Nothing-v0"),
    ],
)
def test_bad_flags_of_bench_get_one_sentence(
    esengine_here: Run, arguments: tuple[str, ...], says: str
) -> None:
    result = esengine_here("bench", "scaling", *arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_benchmark_without_mpirun_says_so(esengine_here: Run) -> None:
    result = esengine_here("bench", "scaling", "--repeats", "1", ESENGINE_MPIRUN="/nowhere/mpirun")
    assert result.returncode == 2
    assert "ESENGINE_MPIRUN=/nowhere/mpirun does not exist" in result.stderr


@pytest.mark.parametrize(
    ("ratio", "check", "status"), [(0.5, False, 0), (0.5, True, 1), (0.9, True, 0)]
)
def test_a_missed_goal_is_an_exit_status_only_with_check(
    ratio: float, check: bool, status: int
) -> None:
    figure = Figure("sum", 1.0, "GB/s", "read", ratio, goal=0.85)
    assert report([figure], None, check) == status


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "HalfCheetah-v5"])
def test_the_plain_loop_does_the_same_work(env_id: str) -> None:
    spec = EnvironmentSpec(env_id)
    observations, action = describe(spec.make())
    policy = PolicySpec(observations.dim, action, (32, 32))
    random = np.random.default_rng(0)
    parameters = 0.3 * random.standard_normal(policy.num_parameters).astype(np.float32)
    mean = np.zeros(observations.dim, np.float32)
    actor = Actor(policy, parameters, mean, np.ones_like(mean))
    plain, ours = PlainLoop(spec, actor), make_simulator(spec, observations, "auto")
    assert [len(plain.episode(seed)) for seed in range(5)] == [
        ours.run(actor, seed).num_steps for seed in range(5)
    ]
    for observation in 2 * random.standard_normal((200, observations.dim)).astype(np.float32):
        assert plain.act(observation) == pytest.approx(actor.act(observation), abs=2e-5)
