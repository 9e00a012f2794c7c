"""PETS: an ensemble that finds a known system and its noise, and planning in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esengine.algorithms.models.ensemble_fit import EnsembleFit
from esengine.demonstrations import Trajectory, load_demonstrations
from esengine.environments import ActionSpec
from esengine.launch.cli import main
from esengine.models import LearnedDynamics, ModelSpec, load_model
from esengine.models.ensemble import MIDDLE_LOG_STD, REACH_LOG_STD
from esengine.policies.forward_pass import forward_reference
from tests.support.linear_quadratic import HORIZON, LinearQuadratic, LinearQuadraticEnv

NOISE = 0.1


def trajectories(count: int) -> list[Trajectory]:
    """Episodes of random controls."""
    random = np.random.default_rng(0)
    env = LinearQuadraticEnv(NOISE)
    found = []
    for seed in range(count):
        observations = [env.reset(seed=seed)[0]]
        actions = random.uniform(-1, 1, (HORIZON, 2))
        rewards = []
        for action in actions:
            observation, reward, *_ = env.step(action)
            observations.append(observation)
            rewards.append(reward)
        found.append(Trajectory(np.array(observations), actions, np.array(rewards), False, True, 0))
    return found


def test_the_ensemble_finds_means_and_noise_of_a_linear_gaussian_system() -> None:
    env, system = LinearQuadraticEnv(), LinearQuadratic()
    spec = ModelSpec(4, ActionSpec.of(env.action_space), (32,), 3)
    fit = EnsembleFit(spec, 0, 3e-3, 256)
    fit.fit(trajectories(150), 600)
    model = fit.model()
    dynamics = LearnedDynamics(env, model)
    points = np.concatenate([one.observations[:-1] for one in trajectories(20)])
    controls = np.concatenate([one.actions for one in trajectories(20)])
    after, rewards, ended = dynamics.step(points, controls)
    expected = system.step(points, controls)
    assert np.sqrt(np.mean((after - expected.states) ** 2)) < 0.6 * NOISE
    assert np.corrcoef(rewards, expected.rewards)[0, 1] > 0.98
    assert not ended.any()

    # the noise of the state, which is the same everywhere
    row = model.parameters.reshape(3, -1)[0]
    scaling = (model.input_mean, model.input_inverse_std)
    outputs = forward_reference(row, spec.layers, spec.inputs(points, controls), *scaling)
    deviations = model.target_std * np.exp(
        MIDDLE_LOG_STD + REACH_LOG_STD * np.tanh(outputs[:, 5:-1])
    )
    np.testing.assert_allclose(deviations[:, :4].mean(axis=0), NOISE, rtol=0.25)


def test_a_model_of_demonstrations_alone_is_an_expert_for_others(tmp_path: Path) -> None:
    demos, run, out = (str(tmp_path / name) for name in ("demos.npz", "run", "out.npz"))
    short = ("--max-episode-steps", "20", "--ranks", "1", "--quiet")
    planned = ("--planner", "mppi", "--planner-arg", "num_candidates=8", "horizon=5")
    pendulum = ("--env-id", "Pendulum-v1")
    assert main(["collect", *pendulum, *planned, "--episodes", "3", "--out", demos, *short]) == 0
    fit = ("--episodes-per-round", "0", "--generations", "1", "--model-steps", "30")
    fast = ("--gradient-steps", "1", "--validation-episodes", "1", "--eval-episodes", "1")
    given = ("train", "pets", "--demonstrations", demos, *fit, *fast, "--run-dir", run, *short)
    assert main([*given]) == 0
    assert load_model(run).spec.num_members == 5
    learned = ("--dynamics", "learned", "--model", run)
    assert (
        main(["collect", *pendulum, *planned, *learned, "--episodes", "1", *short, "--out", out])
        == 0
    )
    assert load_demonstrations([out]).num_steps == 20
    taught = (*pendulum, *planned, *learned, "--generations", "1", "--episodes-per-round", "1")
    copied = str(tmp_path / "plato")
    assert main(["train", "plato", *taught, *fast, *short, "--run-dir", copied]) == 0
    assert load_model(tmp_path / "plato" / "given_model.safetensors").spec == load_model(run).spec


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("pets", "--planner", "ilqr"), "pets needs --planner mppi or cross-entropy"),
        (("pets", "--episodes-per-round", "0"), "--episodes-per-round must be at least 1, got 0"),
        (("pets", "--model-steps", "0"), "--model-steps must be at least 1, got 0"),
        (
            ("dagger", "--planner", "mppi", "--dynamics", "learned"),
            "--model must go with --dynamics learned",
        ),
        (
            ("dagger", "--planner", "mppi", "--dynamics", "learned", "--model", "nowhere"),
            "--model must be a run directory or a model file, got nowhere",
        ),
        (
            ("dagger", "--planner", "ilqr", "--dynamics", "learned", "--model", "nowhere"),
            "--dynamics learned must be used with --planner mppi or cross-entropy",
        ),
    ],
)
def test_bad_settings_are_one_sentence(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *flags, "--env-id", "Pendulum-v1", "--ranks", "1"]) == 2
    assert message in capsys.readouterr().err
