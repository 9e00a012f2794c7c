"""Collecting demonstrations: the same on any number of ranks, from policies, experts and rules."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from esengine.demonstrations import Demonstrations
from esengine.environments import EnvironmentSpec, describe
from esengine.launch.cli import main
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.policies import Policy, PolicySpec, save_policy
from esengine.ranks import World
from tests.conftest import SUPPORT
from tests.support import teachers


@pytest.fixture(autouse=True)
def _teachers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))


def collected(**settings: object) -> Demonstrations:
    demonstrations = collect_on(World(), CollectSettings(**settings))  # type: ignore[arg-type]
    assert demonstrations is not None
    return demonstrations


def test_labels_are_the_experts_own_bit_for_bit_and_noise_is_on_the_actions() -> None:
    demonstrations = collected(
        expert="teachers:Counting", env_id="Pendulum-v1", episodes=3, noise=0.2, seed=4
    )
    env = gymnasium.make("Pendulum-v1")
    expert = teachers.Counting()
    for trajectory in demonstrations.trajectories:
        observation, _ = env.reset(seed=trajectory.seed)
        expert.begin(env, trajectory.seed or 0)
        for step, action in enumerate(trajectory.actions):
            np.testing.assert_array_equal(observation.astype(float), trajectory.observations[step])
            label = trajectory.targets[step]
            assert expert.act(observation).tobytes() == label.tobytes()
            observation, reward, *_ = env.step(action.astype(np.float32))
            assert reward == trajectory.rewards[step]
    noise = np.concatenate([one.actions - one.targets for one in demonstrations.trajectories])
    inside = np.concatenate([np.abs(one.actions) < 2 for one in demonstrations.trajectories])
    assert 0.3 < noise[inside].std() < 0.5  # 0.2 of half the range of -2 .. 2


def test_an_experts_own_actions_need_no_labels() -> None:
    demonstrations = collected(expert="teachers:lean", env_id="CartPole-v1", episodes=2)
    assert all(one.labels is None for one in demonstrations.trajectories)
    one = demonstrations.trajectories[0]
    assert [teachers.lean(row) for row in one.observations[:-1]] == one.actions[:, 0].tolist()


def test_a_policy_file_demonstrates_and_rules_correct_it(tmp_path: Path) -> None:
    env = gymnasium.make("Pendulum-v1")
    spec = PolicySpec(3, describe(env)[1])
    scaling = (np.zeros(3, np.float32), np.ones(3, np.float32))
    policy = Policy(
        spec, np.array([0.1, 0.2, 0.3, 0.0], np.float32), *scaling, EnvironmentSpec("Pendulum-v1")
    )
    save_policy(tmp_path / "policy.safetensors", policy)
    (plain,) = collected(policy=tmp_path / "policy.safetensors", episodes=1).trajectories
    assert [policy.act(row)[0] for row in plain.observations[:-1]] == plain.actions[:, 0].tolist()
    (ruled,) = collected(
        policy=tmp_path / "policy.safetensors", rules=("teachers",), episodes=1, seed=1
    ).trajectories
    for row, action in zip(ruled.observations.astype(np.float32), ruled.actions, strict=False):
        wanted = teachers.act(row) if teachers.when(row) else policy.act(row)
        assert action == wanted


def test_only_episodes_that_are_good_enough_are_kept() -> None:
    everything = collected(
        expert="teachers:lean", env_id="CartPole-v1", episodes=6, max_episode_steps=400
    )
    least = float(np.sort(everything.returns)[3])
    good = collected(
        expert="teachers:lean",
        env_id="CartPole-v1",
        episodes=6,
        max_episode_steps=400,
        min_return=least,
    )
    assert len(good.returns) == 6
    assert good.returns.min() >= least


BAD = {
    "nobody": (
        ("--env-id", "Pendulum-v1"),
        "collect needs one of --policy, --expert, --planner, --skills or --rules, got none",
    ),
    "no environment": (
        ("--expert", "teachers:lean"),
        "--expert, --planner and --rules need --env-id, got none",
    ),
    "no such expert": (
        ("--expert", "teachers:missing", "--env-id", "CartPole-v1"),
        "got no such name for 'missing'",
    ),
    "no such rule": (
        ("--rules", "worlds", "--env-id", "CartPole-v1"),
        "must define when(observation) and act(observation)",
    ),
    "noise on choices": (
        ("--expert", "teachers:lean", "--env-id", "CartPole-v1", "--noise", "1"),
        "--noise must be used with box actions, got discrete of CartPole-v1",
    ),
    "no folder": (
        ("--expert", "teachers:lean", "--env-id", "CartPole-v1", "--out", "none/a.npz"),
        "make the folder first",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_get_one_sentence(capsys: pytest.CaptureFixture[str], case: str) -> None:
    flags, message = BAD[case]
    assert main(["collect", "--ranks", "1", *flags]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("ranks", ["1", "2"])
@pytest.mark.parametrize(
    ("expert", "message"),
    [
        (
            ("--expert", "teachers:too_strong"),
            "the expert's action must be within the bounds -2 .. 2, got 3",
        ),
        (("--rules", "teachers"), "none fires for ["),
    ],
)
def test_an_expert_that_acts_out_of_bounds_or_does_not_know_gets_one_sentence(
    capfd: pytest.CaptureFixture[str], expert: tuple[str, str], message: str, ranks: str
) -> None:
    assert main(["collect", "--ranks", ranks, *expert, "--env-id", "Pendulum-v1"]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
