"""The policy gradient where the right answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from esengine.algorithms.policy_gradient.advantages import RewardScale, advantages
from esengine.algorithms.policy_gradient.ppo import PPO, PPOSettings
from esengine.demonstrations.recording import Recorder
from esengine.environments.spaces import describe
from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError
from esengine.policies.network import PolicySpec
from esengine.pool.pool import Pool
from esengine.pool.startup import open_rank_state
from esengine.problems import EnvironmentProblem
from esengine.ranks.world import World


@pytest.mark.parametrize("terminated", [True, False])
def test_advantages_are_the_sum_of_their_definition(terminated: bool) -> None:
    random = np.random.default_rng(0)
    rewards, values, discount, decay = random.normal(size=6), random.normal(size=7), 0.9, 0.7
    following = np.append(values[1:-1], 0.0 if terminated else values[-1])
    deltas = rewards + discount * following - values[:-1]
    wanted = [sum((discount * decay) ** (k - t) * deltas[k] for k in range(t, 6)) for t in range(6)]
    np.testing.assert_allclose(
        advantages(rewards, values, terminated, discount, decay), wanted, rtol=1e-12
    )


def test_with_lambda_one_a_cut_episode_counts_the_value_where_it_was_cut() -> None:
    rewards, values = np.array([1.0, 2.0]), np.array([10.0, 20.0, 30.0])
    np.testing.assert_allclose(
        advantages(rewards, values, False, 0.5, 1.0)[0], 1 + 0.5 * 2 + 0.25 * 30 - 10
    )
    np.testing.assert_allclose(advantages(rewards, values, True, 0.5, 1.0)[0], 1 + 0.5 * 2 - 10)


def test_rewards_are_divided_by_the_spread_of_their_discounted_sums() -> None:
    scale, episodes = RewardScale(0.9), [np.array([1.0, 5.0, -2.0]), np.array([0.5, 0.5])]
    sums = []
    for rewards in episodes:
        scale.add(rewards)
        running = 0.0
        for reward in rewards:
            running = 0.9 * running + reward
            sums.append(running)
    np.testing.assert_allclose(scale(episodes[0]), episodes[0] / np.std(sums, ddof=1), rtol=1e-6)
    copy = RewardScale(0.9)
    copy.unpack(scale.pack())
    np.testing.assert_array_equal(copy.pack(), scale.pack())


@pytest.mark.parametrize(("env_id", "kind"), [("Pendulum-v1", "box"), ("CartPole-v1", "discrete")])
def test_the_master_knows_what_was_drawn_before_it_was_clipped(env_id: str, kind: str) -> None:
    environment = EnvironmentSpec(env_id)
    observations, action = describe(environment.make())
    settled: dict[str, Any] = {"seed": 3, "max_episode_steps": 50, "normalize_observations": False}
    problem = EnvironmentProblem(
        environment,
        observations,
        PolicySpec(observations.dim, action, (8,)),
        parts=(Recorder(),),
        **settled,
    )
    settings = PPOSettings(steps_per_round=200, initial_log_std=0.5)
    start = 0.3 * np.random.default_rng(1).standard_normal(problem.dimension).astype(np.float32)
    with (
        open_rank_state(World(), problem, 3, log2_size=None) as rank_state,
        Pool(World(), rank_state) as pool,
    ):
        ppo = PPO(replace(settings, epochs=1, batch_size=10**6), problem, 3, start)
        ppo.step(pool, {})
        again = PPO(settings, problem, 3, start)  # the networks that acted in the first round
        again.trajectories = ppo.trajectories
        batch = again._batch(again.actor())
    actions = np.concatenate([one.actions for one in ppo.trajectories])
    assert action.kind == kind
    if kind == "box":
        drawn = action.center() + action.reach() * batch.targets.numpy()
        assert (abs(drawn) > action.high[0]).mean() > 0.05
        np.testing.assert_allclose(np.clip(drawn, action.low, action.high), actions, atol=1e-5)
        residuals = (
            batch.targets - again._actor.outputs(batch.observations).detach()
        ).numpy() / np.exp(0.5)
        assert abs(residuals.mean()) < 4 / np.sqrt(len(actions))
        assert abs((residuals**2).mean() - 1) < 4 * np.sqrt(2 / len(actions))
    else:
        np.testing.assert_array_equal(batch.targets.numpy(), action.options(actions))
    loss, told = again._loss(batch)
    assert told[2:].tolist() == [0.0, 0.0]  # nothing has moved yet
    loss.backward()  # at ratios of one the gradient is that of the mean of A log pi
    gradient = again._actor.flat.grad
    weights = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + 1e-8)
    fresh = PPO(settings, problem, 3, start)._actor
    (-(weights * fresh.log_densities(batch.observations, batch.targets)).mean()).backward()
    torch.testing.assert_close(gradient, fresh.flat.grad)


def test_a_round_has_its_steps_whatever_the_length_of_episodes() -> None:
    environment = EnvironmentSpec("Pendulum-v1")
    observations, action = describe(environment.make())
    problem = EnvironmentProblem(
        environment,
        observations,
        PolicySpec(observations.dim, action),
        seed=0,
        max_episode_steps=30,
        parts=(Recorder(),),
    )
    with (
        open_rank_state(World(), problem, 0, log2_size=None) as rank_state,
        Pool(World(), rank_state) as pool,
    ):
        ppo = PPO(PPOSettings(steps_per_round=100, epochs=1, target_kl=1e-9), problem, 0)
        assert [ppo.step(pool, {}) for _ in range(2)] == [(120, 4), (120, 4)]
        assert (
            0 < ppo.metrics()["gradient_steps"] < 3
        )  # the first step moves too far, and the next is not taken
    assert problem.statistics.count == 240


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0; 10 is the default"),
        ({"discount": 1.5}, "--discount must lie between 0 and 1, got 1.5; 0.99 is the default"),
        ({"clip_range": 0.0}, "--clip-range must be positive, got 0.0"),
        ({"entropy_weight": -1.0}, "--entropy-weight must not be negative, got -1.0"),
        ({"target_kl": 0.0}, "--target-kl must be positive, got 0.0; 0.01 is usual"),
    ],
)
def test_settings_that_no_run_can_have(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(PPOSettings(), **changes).check()
