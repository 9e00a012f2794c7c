"""The policy gradient as a generator: who pays it, what it gives, and whose steps a mixture of
policies is made of.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.algorithms.inverse_rl.generators import Improvement, PolicyGradient
from esengine.algorithms.policy_gradient.ppo import PPOSettings
from esengine.demonstrations.recording import Recorder
from esengine.environments.spaces import describe
from esengine.environments.spec import EnvironmentSpec
from esengine.policies.densities import log_densities
from esengine.policies.network import PolicySpec
from esengine.pool.pool import Pool
from esengine.pool.startup import open_rank_state
from esengine.problems import EnvironmentProblem
from esengine.ranks.world import World
from esengine.rewards.episodes import RewardedEpisodes, rewards_of, trace_of
from esengine.rewards.network import LearnedReward, RewardSpec
from esengine.rewards.sampling import Sampling
from esengine.rewards.source import RewardSource

HORIZON, DISCOUNT = 60, 0.9

Improved = tuple[PolicyGradient, EnvironmentProblem, NDArray[np.float32], Improvement]


def reward(parameters: float, spec: RewardSpec) -> LearnedReward:
    blank = LearnedReward.blank(spec)
    blank.parameters[:] = parameters * np.random.default_rng(0).standard_normal(spec.num_parameters)
    return blank


@pytest.fixture(scope="module")
def improved() -> Iterator[Improved]:
    """A round of eight episodes of CartPole-v1 on a random reward, and the parameters before it."""
    environment = EnvironmentSpec("CartPole-v1")
    observations, action = describe(environment.make())
    source = RewardSource(reward(1.0, RewardSpec(4, action, (8,))), entropy_weight=0.5)
    problem = EnvironmentProblem(
        *(environment, observations, PolicySpec(4, action, (8,), sampled=True), 3),
        max_episode_steps=HORIZON,
        normalize_observations=False,
        parts=(RewardedEpisodes(source, HORIZON, Sampling()), Recorder()),
    )
    settings = PPOSettings(epochs=1, batch_size=10**6, discount=DISCOUNT, trace_decay=1.0)
    with (
        open_rank_state(World(), problem, 3, log2_size=None) as rank_state,
        Pool(World(), rank_state) as pool,
    ):
        generator = PolicyGradient(settings, problem, 3)
        before = generator.parameters()
        yield generator, problem, before, generator.improve(pool, {})


def test_episodes_are_paid_by_the_source_with_entropy_and_with_what_follows_their_end(
    improved: Improved,
) -> None:
    generator, problem, before, improvement = improved
    actor, source = improvement.sampled.actor, problem.part(RewardedEpisodes).source
    assert source.learned is not None
    np.testing.assert_array_equal(improvement.sampled.rows, before[None])
    assert (generator.parameters() != before).any()
    ended = next(one for one in generator.trajectories if one.terminated)
    trace = trace_of(ended, problem.policy.action)
    own = source.learned.steps(trace.observations[:-1], trace.choices)
    own -= 0.5 * log_densities(actor, before[None], trace.observations[:-1], trace.choices)[0]
    own[-1] += source.learned.absorbing * sum(
        DISCOUNT**k for k in range(1, HORIZON - ended.num_steps + 1)
    )
    np.testing.assert_allclose(rewards_of(problem, ended, actor, DISCOUNT), own, rtol=1e-6)


def test_all_steps_come_back_and_an_absorbing_state_for_the_rest_of_the_horizon(
    improved: Improved,
) -> None:
    generator, problem, _, improvement = improved
    steps = improvement.sampled.steps
    lengths = [one.num_steps for one in generator.trajectories]
    assert improvement.env_steps == sum(lengths) == (~steps.absorbing).sum()
    seen = np.concatenate([one.observations[:-1] for one in generator.trajectories])
    np.testing.assert_array_equal(steps.observations[~steps.absorbing], seen.astype(np.float32))
    ended = [one.terminated and one.num_steps < HORIZON for one in generator.trajectories]
    assert 0 < sum(ended) == steps.absorbing.sum()
    np.testing.assert_array_equal(np.bincount(steps.episodes, steps.weights), HORIZON)

    rewarded = problem.part(RewardedEpisodes)
    rewarded.sampling = Sampling(3, 0)
    chosen = rewarded.recorded(generator.trajectories)
    assert np.bincount(chosen.episodes[~chosen.absorbing]).tolist() == [
        lengths[episode] for episode in rewarded.sampling.chosen(len(lengths))
    ]
