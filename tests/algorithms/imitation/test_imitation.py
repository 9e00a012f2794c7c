"""Imitation where the right answer is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import esengine
from esengine.algorithms.imitation.aggregation import outgrown
from esengine.algorithms.imitation.behavior_cloning import BehaviorCloningSettings
from esengine.algorithms.imitation.dagger import DAggerSettings, expert_share
from esengine.algorithms.imitation.dart import confusion, error_covariance, square_root
from esengine.algorithms.imitation.learner import Examples, Learner, LearnerSettings
from esengine.demonstrations import Trajectory, load_demonstrations
from esengine.demonstrations.experts import FunctionExpert
from esengine.demonstrations.recording import Acting, record_episode
from esengine.demonstrations.rule_labels import corrected
from esengine.demonstrations.stacked_trajectories import unstacked
from esengine.demonstrations.trajectories import Transitions
from esengine.environments import ActionSpec, Rules, describe, load_rules
from esengine.errors import UserError
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.policies import Actor, PolicySpec
from esengine.ranks import World
from esengine.storage import load_newest
from examples.tightrope import Tightrope, walk
from tests.conftest import SUPPORT
from tests.support import teachers

FREE = ActionSpec("box", (1, 1), (-math.inf,) * 2, (math.inf,) * 2, (2,), (), "float64")


@pytest.fixture(autouse=True)
def _support(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))


def examples(
    spec: PolicySpec, observations: NDArray[np.float64], targets: NDArray[np.float64]
) -> Examples:
    count = len(observations)
    rest = (np.zeros(count), np.zeros(count, bool), np.zeros(count, np.int64))
    return Examples.of(spec, Transitions(observations, observations, targets, targets, *rest))


def fitted(spec: PolicySpec, settings: LearnerSettings, data: Examples, epochs: int) -> Learner:
    scaling = (
        np.zeros(spec.observation_dim, np.float32),
        np.ones(spec.observation_dim, np.float32),
    )
    learner = Learner(spec, settings, 0, scaling)
    for _ in range(epochs):
        learner.epoch(data)
    return learner


@pytest.mark.parametrize("loss", ["mse", "gaussian"])
def test_a_linear_expert_is_fitted_by_least_squares(loss: str) -> None:
    random = np.random.default_rng(0)
    observations = (
        np.clip(random.normal(size=(2000, 3)), -4, 4).astype(np.float32).astype(np.float64)
    )
    weights = np.array([[1.0, -2.0], [0.5, 0.3], [-0.7, 1.1], [0.2, -0.4]])
    noise = np.array([0.1, 0.3])
    inputs = np.column_stack([observations, np.ones(2000)])
    targets = inputs @ weights + noise * random.normal(size=(2000, 2))
    spec = PolicySpec(3, FREE)
    settings = LearnerSettings(loss=loss, batch_size=0, learning_rate=0.1, learning_rate_decay=0.99)  # type: ignore[arg-type]
    learner = fitted(spec, settings, examples(spec, observations, targets), 1000)
    expected = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    np.testing.assert_allclose(learner.parameters().reshape(4, 2), expected, atol=1e-4)
    if loss == "gaussian":
        deviations = np.exp(learner.policy.log_stds().detach().numpy())
        assert (
            np.abs(deviations - noise) < 3 * noise / math.sqrt(2 * 2000)
        ).all()  # standard error of a deviation


def test_a_mixture_finds_two_modes_where_the_mean_square_averages_them() -> None:
    """Actions are -0.5 or 0.5, each +- 0.05: entropy ln 2 + ln(0.05 sqrt(2 pi e)), squared error of
    the mean 0.25 + 0.0025.
    """
    random = np.random.default_rng(1)
    observations = random.normal(size=(4000, 2))
    targets = (random.choice([-0.5, 0.5], 4000) + 0.05 * random.normal(size=4000))[:, None]
    spec = PolicySpec(2, ActionSpec("box", (1,), (-1.0,), (1.0,), (1,)))
    settings = LearnerSettings(batch_size=500, learning_rate=0.02, learning_rate_decay=0.97)
    squares = fitted(spec, settings, data := examples(spec, observations, targets), 60)
    assert squares.mean_loss(data) == pytest.approx(np.var(targets), abs=0.003)
    mixed = PolicySpec(2, spec.action, components=3)
    mixture = fitted(
        mixed,
        LearnerSettings(
            loss="mixture",
            components=3,
            batch_size=500,
            learning_rate=0.02,
            learning_rate_decay=0.97,
        ),
        data,
        60,
    )
    entropy = math.log(2) + math.log(0.05 * math.sqrt(2 * math.pi * math.e))
    assert mixture.mean_loss(data) == pytest.approx(entropy, abs=0.03)
    drawn = Actor(
        PolicySpec(2, spec.action, sampled=True, components=3),
        mixture.parameters(),
        *mixture.policy.scaling,
    )
    actions = np.array([drawn.act(np.zeros(2, np.float32), 5, step)[0] for step in range(400)])
    assert 0.4 < (actions > 0).mean() < 0.6
    assert np.abs(np.abs(actions) - 0.5).max() < 0.3


def test_few_examples_get_as_many_gradient_steps_as_many() -> None:
    spec = PolicySpec(1, FREE)
    data = examples(spec, np.ones((3, 1)), np.ones((3, 2)))
    learner = fitted(spec, LearnerSettings(batch_size=2, gradient_steps=10), data, 0)
    learner.fit(data)
    assert learner.epochs == 5
    learner.fit(data, 7)
    assert learner.epochs == 12


def test_a_learner_restored_goes_on_bit_for_bit() -> None:
    random = np.random.default_rng(2)
    spec = PolicySpec(3, FREE, (8,))
    data = examples(spec, random.normal(size=(100, 3)), random.normal(size=(100, 2)))
    straight = fitted(spec, LearnerSettings(), data, 6)
    half = fitted(spec, LearnerSettings(), data, 3)
    again = fitted(spec, LearnerSettings(), data, 0)
    again.restore(half.state())
    for _ in range(3):
        again.epoch(data)
    np.testing.assert_array_equal(straight.parameters(), again.parameters())


def test_log_densities_are_those_that_actions_are_drawn_by() -> None:
    """The mean of exp(log p) over an expert's own grid is a density's integral; of choices, a
    sum.
    """
    import torch

    random = np.random.default_rng(3)
    grid = torch.linspace(-6, 6, 4001)[:, None]
    for spec in (
        PolicySpec(2, ActionSpec("box", (1,), (-1.0,), (1.0,), (1,)), sampled=True),
        PolicySpec(2, ActionSpec("box", (1,), (-1.0,), (1.0,), (1,)), components=4),
    ):
        row = random.normal(size=spec.num_parameters).astype(np.float32) * 0.3
        learner = fitted(
            spec, LearnerSettings(loss="mixture" if spec.components else "gaussian"), _one(spec), 0
        )
        with torch.no_grad():
            learner.policy.flat.copy_(torch.tensor(row))
            seen = torch.tensor([[0.3, -0.2]]).expand(len(grid), 2)
            total = torch.trapezoid(learner.policy.log_densities(seen, grid).exp(), grid[:, 0])
        assert float(total) == pytest.approx(1, abs=1e-3)
    spec = PolicySpec(2, ActionSpec("multi-discrete", (2, 3), starts=(0, 0)))
    learner = fitted(spec, LearnerSettings(), _one(spec), 0)
    with torch.no_grad():
        learner.policy.flat.copy_(torch.tensor(random.normal(size=spec.num_parameters)))
        options = torch.tensor([[i, j] for i in range(2) for j in range(3)])
        seen = torch.tensor([[0.3, -0.2]]).expand(6, 2)
        log = learner.policy.log_densities(seen, options)
        assert float(log.exp().sum()) == pytest.approx(1, abs=1e-6)
        assert float(learner.policy.entropies(seen)[0]) == pytest.approx(
            -float((log.exp() * log).sum()), abs=1e-5
        )


def _one(spec: PolicySpec) -> Examples:
    return examples(
        spec, np.zeros((1, spec.observation_dim)), np.zeros((1, len(spec.action.sizes)))
    )


@pytest.mark.parametrize("count", [200, 5000])
def test_darts_covariance_is_within_three_standard_errors_of_a_planted_one(count: int) -> None:
    random = np.random.default_rng(count)
    planted = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, -0.02], [0.0, -0.02, 0.01]])
    wanted = random.uniform(-1, 1, (count, 3))
    done = wanted + random.multivariate_normal(np.zeros(3), planted, count)
    estimate = error_covariance(done, wanted)
    errors = np.sqrt(
        (np.outer(np.diag(planted), np.diag(planted)) + planted**2) / count
    )  # of a Gaussian's sample covariance
    assert (np.abs(estimate - planted) < 3 * errors).all()
    assert np.linalg.eigvalsh(estimate).min() > 0
    root = square_root(estimate)
    np.testing.assert_allclose(root @ root.T, estimate, atol=1e-12)
    assert np.trace(error_covariance(done, wanted, total=0.5)) == pytest.approx(0.5)


def test_darts_noise_reaches_the_actions_as_it_was_planted() -> None:
    env = Tightrope(length=400)
    observations, action = describe(env)
    actor = Actor(
        PolicySpec(9, action),
        np.zeros(40, np.float32),
        np.zeros(9, np.float32),
        np.ones(9, np.float32),
    )
    planted = np.full((4, 4), 0.1) + 0.6 * np.eye(4)
    expert = FunctionExpert(walk)
    recorded = [
        record_episode(
            env,
            observations,
            actor,
            expert,
            Rules(()),
            Acting(1.0, confusion=planted.ravel()),
            seed,
        )
        for seed in range(10)
    ]
    wanted = np.concatenate([one.trajectory.targets for one in recorded])
    done = np.concatenate([one.trajectory.actions for one in recorded])
    (estimate,) = action.tables(confusion(action, done, wanted))
    counts = np.bincount(wanted[:, 0].astype(int), minlength=4)[:, None]
    assert (
        np.abs(estimate - planted) < 3 * np.sqrt(planted * (1 - planted) / counts) + 2 / counts
    ).all()


def test_a_scaling_is_outgrown_by_twice_the_spread_or_a_mean_beyond_it() -> None:
    old = (np.zeros(2, np.float32), np.array([1.0, 0.0], np.float32))
    for mean, inverse, expected in [
        (0.9, 0.6, False),
        (1.1, 1, True),
        (0, 0.4, True),
        (0, 3, False),
    ]:
        assert (
            outgrown(old, (np.array([mean, 0], np.float32), np.array([inverse, 0], np.float32)))
            is expected
        )
    assert outgrown(old, (old[0], np.ones(2, np.float32)))  # a coordinate that did not vary before


def test_mixing_schedules_are_those_of_the_papers() -> None:
    def shares(**settings: object) -> list[float]:
        return [expert_share(DAggerSettings(**settings), number) for number in range(4)]  # type: ignore[arg-type]

    assert shares() == [1, 0, 0, 0]
    assert shares(mixing="linear", mixing_rounds=2) == [1, 0.5, 0, 0]
    assert shares(mixing="exponential") == [1, 0.5, 0.25, 0.125]


def test_dagger_stores_the_experts_own_labels_and_the_expert_alone_acts_at_first(
    tmp_path: Path,
) -> None:
    arguments: dict[str, Any] = {
        "env_id": "Pendulum-v1",
        "max_episode_steps": 40,
        "eval_every": 0,
        "final_episodes": 1,
        "hidden_sizes": (8,),
    }
    arguments |= {
        "episodes_per_round": 2,
        "epochs_per_round": 1,
        "gradient_steps": 1,
        "validation_episodes": 1,
    }
    esengine.train(
        "dagger", expert="teachers:pull", run_dir=tmp_path / "run", generations=2, **arguments
    )
    rounds = recorded_in(tmp_path / "run")
    for trajectory in rounds[:2]:
        assert trajectory.labels is None
    for trajectory in rounds[2:]:
        assert (trajectory.actions != trajectory.targets).any()
    for trajectory in rounds:
        for observation, target in zip(
            trajectory.observations.astype(np.float32), trajectory.targets, strict=False
        ):
            assert teachers.pull(observation).astype(float).tobytes() == target.tobytes()


def recorded_in(run: Path) -> list[Trajectory]:
    checkpoint = load_newest(run / "checkpoints")
    assert checkpoint is not None
    prefix = "strategy/trajectories/"
    arrays = {
        name.removeprefix(prefix): array
        for name, array in checkpoint.arrays.items()
        if name.startswith(prefix)
    }
    return list(unstacked(arrays, "the checkpoint"))


def test_dear_labels_are_asked_where_learners_disagree(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "env_id": "Pendulum-v1",
        "eval_every": 0,
        "final_episodes": 1,
        "hidden_sizes": (8,),
    }
    arguments |= {
        "episodes_per_round": 2,
        "epochs_per_round": 2,
        "validation_episodes": 1,
        "label_fraction": 0.25,
    }
    arguments |= {"gradient_steps": 1}
    esengine.train(
        "dagger", expert="teachers:pull", run_dir=tmp_path / "run", generations=4, **arguments
    )
    shares = [trajectory.labelled.mean() for trajectory in recorded_in(tmp_path / "run")]
    assert shares[:2] == [1, 1]
    assert 0.02 < np.mean(shares[4:]) < 0.7


def test_rules_relabel_demonstrations(tmp_path: Path) -> None:
    demonstrations = collect_on(
        World(), CollectSettings(expert="teachers:pull", env_id="Pendulum-v1", episodes=1)
    )
    assert demonstrations is not None
    rules = load_rules(("teachers",))
    ruled = corrected(demonstrations.trajectories[0], rules, demonstrations.action)
    fires = np.array([teachers.when(row) for row in ruled.observations[:-1]])
    assert 0 < fires.sum() < len(fires)
    pushed = np.array([teachers.act(row) for row in ruled.observations[:-1].astype(np.float32)])
    np.testing.assert_array_equal(ruled.targets, np.where(fires[:, None], pushed, ruled.actions))


def test_settings_that_fit_nothing_are_told() -> None:
    with pytest.raises(UserError, match="behavior-cloning needs --demonstrations"):
        BehaviorCloningSettings().check()
    with pytest.raises(UserError, match="--loss must be categorical for discrete actions, got mse"):
        LearnerSettings(loss="mse").loss_of(PolicySpec(2, ActionSpec("discrete", (2,))))
    with pytest.raises(UserError, match=r"--label-fraction must lie in \(0, 1\], got 0"):
        DAggerSettings(label_fraction=0).check()
    with pytest.raises(UserError, match="must name at least one file"):
        load_demonstrations([])
