"""Guided policy search: controllers that are exact where the answer is known, and runs that no
number of ranks changes.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.algorithms.imitation.guided_policy_search import relative_weights
from esengine.algorithms.imitation.learner import Examples, Learner, LearnerSettings
from esengine.algorithms.planners import ILQR
from esengine.algorithms.planners.guided_expert import ControllerInfo
from esengine.algorithms.planners.local_controllers import (
    PolicyCost,
    adapted,
    divergence,
    local_controller,
    policy_means,
)
from esengine.environments import ActionSpec, EnvironmentSpec, ObservationSpec
from esengine.launch.cli import main
from esengine.policies import Actor, PolicySpec
from esengine.simulators import ObservableDynamics, make_dynamics
from tests.support.linear_quadratic import HORIZON, AnalyticLinearQuadratic

START = np.array([1.0, -0.5, 0.8, 0.3])
P = np.array([[2.0, 0.3], [0.3, 1.5]])


class Seen(AnalyticLinearQuadratic):
    """The linear system, all of whose state a policy sees."""

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        return states.astype(np.float32)


def linear_actor(gain: NDArray[np.float64], bound: float = 5.0) -> Actor:
    action = ActionSpec("box", (1, 1), (-bound,) * 2, (bound,) * 2, (2,), (), "float64")
    spec = PolicySpec(4, action)
    parameters = np.concatenate([(gain.T / bound).ravel(), np.zeros(2)]).astype(np.float32)
    return Actor(spec, parameters, np.zeros(4, np.float32), np.ones(4, np.float32))


def test_without_a_policy_the_controller_is_the_linear_quadratic_regulator() -> None:
    dynamics = Seen()
    assert isinstance(dynamics, ObservableDynamics)
    controller = local_controller(
        ILQR(num_iterations=1), dynamics, START, np.zeros((HORIZON, 2)), None, P, 0.0
    )
    gains, cost = dynamics.riccati()
    np.testing.assert_allclose(controller.gains, gains, atol=1e-8)
    np.testing.assert_allclose(-controller.expected_return, START @ cost @ START, rtol=1e-10)
    # precisions are Q_uu and the policy's own; the last Q_uu is 2 (R + B' Q B)
    np.testing.assert_allclose(
        controller.precisions[-1], 2 * (dynamics.R + dynamics.B.T @ dynamics.Q @ dynamics.B) + P
    )
    state = controller.states[3] + 0.1
    np.testing.assert_allclose(controller.mean(3, state), gains[3] @ state, atol=1e-7)


def test_controllers_keep_the_step_and_gain_more_with_a_larger_one() -> None:
    dynamics, actor = (
        Seen(),
        linear_actor(np.array([[-0.2, -0.1, 0.0, 0.1], [0.1, 0.0, -0.3, -0.2]])),
    )
    means = policy_means(dynamics, actor)
    state, of_policy = START[None], 0.0
    for _ in range(HORIZON):
        state, rewards, _ = dynamics.step(state, means(state))
        of_policy += float(rewards[0])
    returns = []
    for step in (0.02, 0.2, 2.0):
        controller = local_controller(
            ILQR(), dynamics, START, np.zeros((HORIZON, 2)), means, P, step
        )
        assert 0.5 * step < controller.divergence <= step  # bisected to a twentieth of a decade
        returns.append(controller.expected_return)
    assert of_policy < returns[0] < returns[1] < returns[2]
    near = local_controller(ILQR(), dynamics, START, np.zeros((HORIZON, 2)), means, P, 0.0)
    np.testing.assert_allclose(near.controls, means(near.states[:-1]), atol=2e-3)


def test_the_policys_cost_has_the_derivatives_of_its_values() -> None:
    spec = EnvironmentSpec("Pendulum-v1")
    dynamics, env = make_dynamics(spec), spec.make()
    assert isinstance(dynamics, ObservableDynamics)
    observations, action = (
        ObservationSpec.of(env.observation_space),
        ActionSpec.of(env.action_space),
    )
    policy = PolicySpec(observations.dim, action, (8,))
    row = np.random.default_rng(1).normal(size=policy.num_parameters).astype(np.float32) * 0.3
    actor = Actor(policy, row, np.zeros(3, np.float32), np.ones(3, np.float32))
    cost = PolicyCost(
        dynamics.num_coordinates, policy_means(dynamics, actor), np.array([[3.0]]), 2.0
    )
    observation, _ = env.reset(seed=5)
    state = dynamics.state_of(env)
    assert dynamics.observe(state[None])[0].tolist() == pytest.approx(
        observation.tolist(), abs=1e-6
    )
    np.testing.assert_allclose(cost.means(state[None])[0], actor.act(observation), rtol=1e-5)
    controls, states = np.array([[0.4]]), np.stack([state, state])
    expansion = ILQR().feedback(dynamics, states, controls, cost)
    plain = ILQR().feedback(dynamics, states, controls)
    np.testing.assert_allclose(
        expansion.precisions - plain.precisions, [[[6.0]]], rtol=1e-6
    )  # eta P
    # of quadratic costs alone the least is the policy's own action, whatever the state
    np.testing.assert_allclose(
        cost.costs(states[None], cost.means(states[:1])[None]), 0, atol=1e-12
    )  # fmt: skip


def test_divergence_is_that_of_normal_distributions() -> None:
    random = np.random.default_rng(0)
    A = random.normal(size=(2, 3, 3))
    precisions = A @ A.transpose(0, 2, 1) + np.eye(3)
    own = np.diag([1.0, 2.0, 0.5])
    apart = random.normal(size=(2, 3))
    expected = []
    for d, precision in zip(apart, precisions, strict=True):
        ratio = np.linalg.inv(precision) @ own
        expected.append(0.5 * (np.trace(ratio) - 3 - np.log(np.linalg.det(ratio)) + d @ own @ d))
    assert divergence(apart, precisions, own) == pytest.approx(np.mean(expected), rel=1e-12)
    assert divergence(np.zeros((2, 3)), np.stack([own, own]), own) == pytest.approx(0, abs=1e-12)


def test_the_step_follows_what_was_gained_of_what_was_promised() -> None:
    assert adapted(1.0, 1.0, 10.0, 5.0) == 1.0  # half of it: the model is largest just there
    assert adapted(1.0, 1.0, 10.0, 10.0) == 2.0
    assert adapted(1.0, 1.0, 10.0, -30.0) == 0.5
    assert adapted(1.0, 1.0, 10.0, 4.0) == pytest.approx(10 / 12)
    assert adapted(8.0, 1.0, 10.0, 12.0) == 10.0
    assert adapted(0.15, 1.0, 10.0, -99.0) == 0.1
    assert adapted(0.7, 1.0, -1.0, 3.0) == 0.7  # nothing was promised


def test_errors_are_weighted_by_precision() -> None:
    precisions = np.array([1.0, 4.0, 1.0, 1000.0]).reshape(4, 1, 1)
    weights = relative_weights(precisions, np.array([2.0]))
    np.testing.assert_allclose(
        weights.ravel() / weights.ravel()[0], [1, 4, 1, 25]
    )  # at most ten medians
    assert weights.mean() == pytest.approx(1)
    import torch

    action = ActionSpec("box", (1,), (-1.0,), (1.0,), (1,), (), "float32")
    spec, settings = PolicySpec(1, action), LearnerSettings(learning_rate=0.05, batch_size=0)
    learner = Learner(spec, settings, 0, (np.zeros(1, np.float32), np.ones(1, np.float32)))
    data = Examples(
        torch.zeros(4, 1),
        torch.tensor([[0.0], [1.0], [0.0], [0.5]]),
        torch.tensor(weights, dtype=torch.float32),
    )
    for _ in range(300):
        learner.epoch(data)
    expected = (4 * 1.0 + 25 * 0.5) / 31  # the weighted mean
    assert learner.parameters()[-1] == pytest.approx(expected, abs=1e-3)
    notes = ControllerInfo(1.0, 2.0, 3.0, 40, 5, np.arange(8.0).reshape(2, 2, 2))
    again = ControllerInfo.unpacked(notes.packed(), 2)
    assert again[:5] == notes[:5]
    assert np.array_equal(again.precisions, notes.precisions)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--expert", "a:b"), "guided-policy-search needs --planner and no --rules"),
        (("--planner", "mppi", "--kl-step", "0"), "--kl-step must be positive, got 0.0"),
        (
            ("--planner", "mppi", "--every", "2"),
            "fits by weighted squared errors what its own controllers do",
        ),
        (
            ("--planner", "mppi", "--env-id", "CartPole-v1"),
            "--planner ilqr needs continuous actions",
        ),
    ],
)
def test_bad_settings_are_one_sentence(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = () if "--env-id" in flags else ("--env-id", "Pendulum-v1")
    assert main(["train", "guided-policy-search", *flags, *environment, "--ranks", "1"]) == 2
    assert message in capsys.readouterr().err
