"""The benchmarks measure what they say; their figures are for reading, not for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esengine.environments import EnvironmentSpec
from esengine.launch.bench.rollouts import PlainLoop
from esengine.policies import Actor, PolicySpec
from esengine.simulators import make_simulator
from esengine.spaces import describe
from tests.conftest import Run


@pytest.mark.parametrize("subject", ["kernels", "rollouts"])
def test_a_subject_writes_its_rows_as_json(esengine: Run, tmp_path: Path, subject: str) -> None:
    result = esengine("bench", subject, "--repeats", "1", "--env-ids", "CartPole-v1", "--json", "rows.json")
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(list(row) == ["name", "value", "unit", "against", "ratio", "goal"] for row in rows)
    assert all(row["value"] > 0 and row["ratio"] > 0 for row in rows)
    missed = any(row["goal"] is not None and row["ratio"] < row["goal"] for row in rows)
    assert result.returncode == int(missed), result.stderr
    assert rows[0]["name"].split(",")[0] in result.stdout


def test_an_unknown_subject_lists_the_known_ones(esengine: Run) -> None:
    result = esengine("bench", "lunch")
    assert result.returncode == 2
    assert "bench must be one of kernels, rollouts" in result.stderr


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_the_plain_loop_does_the_same_work(env_id: str) -> None:
    spec = EnvironmentSpec(env_id)
    observations, action = describe(spec.make())
    policy = PolicySpec(observations.dim, action, (32, 32))
    parameters = 0.3 * np.random.default_rng(0).standard_normal(policy.num_parameters).astype(np.float32)
    actor = Actor(policy, parameters, np.zeros(observations.dim, np.float32), np.ones(observations.dim, np.float32))
    plain, ours = PlainLoop(spec, actor), make_simulator(spec, observations, "auto")
    assert [plain.episode(seed) for seed in range(5)] == [ours.run(actor, seed).num_steps for seed in range(5)]
