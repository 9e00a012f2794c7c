"""PLATO: the teacher's own labels, at states it visits near the learner."""

from __future__ import annotations

import numpy as np
import pytest

from esengine.algorithms.planners import ILQR, MPPI, CrossEntropy, Planner, PlannerExpert
from esengine.algorithms.planners.contract import Attraction
from esengine.demonstrations.recording import Acting, record_episode
from esengine.environments import EnvironmentSpec, Rules, describe
from esengine.launch.cli import main
from esengine.policies import Actor, PolicySpec
from esengine.simulators import make_dynamics
from tests.support.linear_quadratic import HORIZON, AnalyticLinearQuadratic, LinearQuadratic

START = np.array([1.0, -0.5, 0.8, 0.3])


def test_ilqr_with_attraction_solves_the_quadratic_with_the_divergence_added() -> None:
    dynamics, target = AnalyticLinearQuadratic(), np.array([2.0, -1.0])
    attraction = Attraction(target, 30.0)
    plan = ILQR(horizon=HORIZON, num_iterations=1).plan(
        dynamics, START, None, attraction=attraction
    )
    free = ILQR(horizon=HORIZON, num_iterations=1).plan(dynamics, START, None)
    assert free.precisions is not None
    Q_uu, W = free.precisions[0], np.diag(attraction.precision(dynamics))
    # the least of (u - u*) Q_uu (u - u*) / 2 + (u - target) W (u - target) / 2
    expected = np.linalg.solve(Q_uu + W, Q_uu @ free.controls[0] + W @ target)
    np.testing.assert_allclose(plan.controls[0], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    "planner",
    [
        MPPI(horizon=HORIZON, num_iterations=20),
        CrossEntropy(horizon=HORIZON, num_iterations=20),
        ILQR(horizon=HORIZON),
    ],
)
def test_a_heavy_attraction_gives_the_learners_action(planner: Planner) -> None:
    target = np.array([0.7, -0.4])
    plan = planner.plan(LinearQuadratic(), START, None, 1, Attraction(target, 1e6))
    np.testing.assert_allclose(plan.controls[0], target, atol=0.25)
    free = planner.plan(LinearQuadratic(), START, None, 1)
    assert np.abs(free.controls[0] - target).max() > 0.5


def test_labels_are_the_plain_planners_and_actions_go_toward_the_learner() -> None:
    spec = EnvironmentSpec("Pendulum-v1")
    env = spec.make()
    observations, action = describe(env)
    policy = PolicySpec(observations.dim, action)
    actor = Actor(
        policy,
        np.zeros(policy.num_parameters, np.float32),
        np.zeros(3, np.float32),
        np.ones(3, np.float32),
    )
    planner, distances = ILQR(horizon=15), []
    for weight in (0.1, 1000.0):
        expert = PlannerExpert(planner, make_dynamics(spec))
        one = record_episode(
            env, observations, actor, expert, Rules(()), Acting(attraction=weight), 3, max_steps=25
        ).trajectory  # fmt: skip
        expert.begin(env, 3)
        observation, _ = env.reset(seed=3)
        assert one.labels is not None
        for acted, label in zip(one.actions, one.labels, strict=True):
            assert expert.act(observation).tolist() == label.tolist()
            observation = env.step(acted.astype(np.float32))[0]
        distances.append(np.abs(one.actions).mean())
    assert distances[1] < 0.05 < 0.5 < distances[0]  # the learner does nothing


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("plato", "--expert", "a:b"), "plato needs --planner and no --rules"),
        (
            ("plato", "--planner", "mppi", "--attraction", "0"),
            "--attraction must be positive, got 0.0",
        ),
        (
            ("dagger", "--planner", "mppi", "--expert", "a:b"),
            "dagger needs one of --expert and --planner, got both",
        ),
        (("dart",), "dart needs --expert, --planner or --rules, got none"),
        (
            ("dagger", "--planner-arg", "horizon=3", "--expert", "a:b"),
            "--planner-arg must go with --planner",
        ),
    ],
)
def test_bad_settings_are_one_sentence(
    flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *flags, "--env-id", "Pendulum-v1", "--ranks", "1"]) == 2
    assert message in capsys.readouterr().err
