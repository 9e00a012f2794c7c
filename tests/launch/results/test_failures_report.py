"""The report on how a policy fails."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esengine.demonstrations import Trajectory
from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.launch.cli import main
from esengine.launch.results.failures import cluster_failures, failure_step, report
from esengine.policies import Policy, PolicySpec, save_policy
from tests.support.words import words


def episode(
    path: list[tuple[float, float]], rewards: list[float], terminated: bool = True
) -> Trajectory:
    return Trajectory(
        np.array(path), np.zeros((len(rewards), 1)), np.array(rewards), terminated, not terminated
    )


def test_episodes_that_fail_alike_are_one_cluster() -> None:
    good = [episode([(0.0, 0.0)] * 4, [1.0, 1.0, 1.0], False) for _ in range(10)]
    left = [episode([(0, 0), (-5 - 0.1 * i, 0), (-9, 0)], [0.0, -float(i)]) for i in range(3)]
    fast = [episode([(0, 0), (0, 7 + 0.1 * i), (0, 9)], [0.0, -5.0]) for i in range(2)]
    clusters = cluster_failures(good + left + fast, worst=5, clusters=3, window=1)
    assert {frozenset(one.episodes) for one in clusters} >= {frozenset({13, 14})}
    together = cluster_failures(good + left + fast, worst=5, clusters=2, window=1)
    assert [set(one.episodes) for one in together] == [{10, 11, 12}, {13, 14}]
    assert together[0].unusual[0] < -1 < together[0].unusual[1] < 1
    np.testing.assert_allclose(together[1].low, [0, 7])
    assert together[0].mean_return == -1
    assert (
        sum(
            len(one.episodes)
            for one in cluster_failures(good + left + fast, worst=9, clusters=2, window=1)
        )
        == 5
    )
    assert cluster_failures(good, worst=5, clusters=2, window=1) == []
    assert (
        report([], 10, np.full(10, 3.0))
        == "all 10 episodes have the same return, 3.0000: none has failed"
    )


def test_an_episode_went_wrong_where_it_ended_or_where_it_lost_most() -> None:
    path = [(0.0, 0.0)] * 6
    assert failure_step(episode(path, [0.0, -9.0, -9.0, 0.0, 0.0]), 2) == 4
    assert failure_step(episode(path, [0.0, -9.0, -9.0, 0.0, 0.0], False), 2) == 1


def test_the_command_tells_the_clusters_and_a_rule_to_begin_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = PolicySpec(4, ActionSpec("discrete", (2,), starts=(0,), dtype="int64"))
    row = np.zeros(spec.num_parameters, np.float32)
    scaling = (np.zeros(4, np.float32), np.ones(4, np.float32))
    save_policy(
        tmp_path / "policy.safetensors", Policy(spec, row, *scaling, EnvironmentSpec("CartPole-v1"))
    )
    arguments = (
        "failures",
        str(tmp_path / "policy.safetensors"),
        *words("--ranks 1 --episodes 12 --worst 5"),
    )
    assert main([*arguments, "--json", str(tmp_path / "failures.json")]) == 0
    printed = capsys.readouterr().out
    assert "the worst 5 of 12 episodes" in printed
    assert "def when(observation): return observation[" in printed
    clusters = json.loads((tmp_path / "failures.json").read_text())
    assert sum(len(cluster["episodes"]) for cluster in clusters) == 5
    assert main([*arguments[:-1], "50"]) == 2
    assert "--worst must be at most --episodes 12, got 50" in capsys.readouterr().err
