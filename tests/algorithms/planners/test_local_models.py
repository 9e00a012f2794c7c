"""Models and controllers from rollouts alone, where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from esengine.algorithms.planners import ControllerExpert, FittedControllers, FittedILQR
from esengine.algorithms.planners.local_models import LocalModel, Samples, fit_local_model
from esengine.algorithms.planners.quadratic_expansion import AnalyticModel, expand
from esengine.environments import EnvironmentSpec
from esengine.launch.cli import main
from tests.support.linear_quadratic import HORIZON, LinearQuadratic, LinearQuadraticEnv

SPEC = EnvironmentSpec("tests.support.linear_quadratic:LinearQuadratic-v0")


def samples(num_rollouts: int, noise: float) -> Samples:
    """Rollouts of random controls."""
    random = np.random.default_rng(0)
    env = LinearQuadraticEnv(noise)
    rows = []
    for number in range(num_rollouts):
        state, _ = env.reset(seed=number)
        for t in range(HORIZON):
            control = random.uniform(-1, 1, 2)
            after, reward, *_ = env.step(control)
            rows.append((t, [*state, *control], after, reward))
            state = after
    times, points, nexts, rewards = zip(*rows, strict=True)
    return Samples(np.array(times), *map(np.array, (points, nexts, rewards)))


def fitted(given: Samples, window: float) -> LocalModel:
    bounds = LinearQuadratic()
    return fit_local_model(given, None, bounds.low, bounds.high, window, 0.1)


def test_a_linear_gaussian_system_is_recovered_to_the_error_of_its_samples() -> None:
    noise, given, system = 0.05, samples(20, 0.05), LinearQuadratic()
    model = fitted(given, 1e6)  # every step of the rollouts is a neighbour
    errors = model.jacobians[0] - np.hstack([system.A, system.B])
    centered = given.points - given.points.mean(axis=0)
    expected = noise * np.sqrt(np.diag(np.linalg.inv(centered.T @ centered)))
    # 24 errors, each of its own standard deviation
    assert 0.5 < np.mean((errors / expected) ** 2) < 1.6
    near = fitted(given, 2.0)  # each step from its neighbours alone
    assert np.abs(near.jacobians - model.jacobians).max() < 10 * expected.max()


def test_a_quadratic_reward_and_a_step_without_noise_are_exact() -> None:
    given, system = samples(20, 0.0), LinearQuadratic()
    model = fitted(given, 3.0)
    assert isinstance(model, AnalyticModel)
    states = np.random.default_rng(1).normal(size=(HORIZON, 4))
    controls = np.random.default_rng(2).uniform(-1, 1, (HORIZON, 2))
    timed = np.concatenate([states, np.arange(HORIZON)[:, None]], axis=1)
    after, rewards, _ = model.step(timed, controls)
    expected = system.step(states, controls)
    np.testing.assert_allclose(after[:, :4], expected.states, atol=1e-3)
    np.testing.assert_allclose(rewards, expected.rewards, rtol=1e-2)
    assert after[:, 4].tolist() == list(range(1, HORIZON + 1))

    # analytic derivatives are those of the values
    found = model.expand(timed, controls)
    differences = expand(model, timed, controls, 1e-3, 1e-3, True)
    for analytic, numeric in zip(found, differences, strict=True):
        np.testing.assert_allclose(analytic, numeric, atol=1e-5)


def test_twenty_rollouts_give_a_controller_within_five_percent_of_riccati() -> None:
    settings = FittedILQR(num_rollouts=4, num_iterations=4, kl_step=50.0)
    expert = ControllerExpert(FittedControllers(settings, SPEC, None))
    env = SPEC.make()
    start = LinearQuadraticEnv.START
    least = float(start @ LinearQuadratic().riccati()[1] @ start)
    for seed in range(3):
        observation, _ = env.reset(seed=seed)
        expert.begin(env, seed)
        total = 0.0
        for _ in range(HORIZON):
            observation, reward, *_ = env.step(expert.act(observation))
            total += float(reward)
        assert least <= -total <= 1.05 * least

    # the same rollouts give the same controller, and a heavy attraction the learner's action
    env.reset(seed=0)
    expert.begin(env, 0)
    first = expert.act(start)
    expert.begin(env, 0)
    assert expert.act(start).tolist() == first.tolist()
    target = np.array([0.7, -0.4])
    np.testing.assert_allclose(expert.toward(target, 1e9), target, atol=1e-3)
    np.testing.assert_allclose(expert.toward(target, 1e-9), first, atol=1e-6)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("dagger", "--planner", "mppi", "--dynamics", "fitted"),
            "--dynamics fitted must be used with --planner ilqr",
        ),
        (
            ("dagger", "--planner", "ilqr", "--dynamics", "fitted", "--planner-arg", "window=0"),
            "window must be positive, got 0",
        ),
        (
            (
                "guided-policy-search",
                "--planner",
                "ilqr",
                "--dynamics",
                "fitted",
                "--planner-arg",
                "kl_step=3",
            ),
            "sets the step and the noise of its controllers by --kl-step and --policy-deviation",
        ),
        (
            ("dagger", "--planner", "ilqr", "--dynamics", "fitted", "--env-id", "CartPole-v1"),
            "--dynamics fitted needs box actions, got Discrete(2) of CartPole-v1",
        ),
    ],
)
def test_bad_settings_are_one_sentence(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = () if "--env-id" in flags else ("--env-id", "Pendulum-v1")
    assert main(["train", *flags, *environment, "--ranks", "1"]) == 2
    assert message in capsys.readouterr().err
