"""Episodes of real environments: every space works, and the same seed gives the same episode."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from esengine.candidates import AntitheticPairs, PolicyEpisodes
from esengine.environments import EnvironmentSpec, is_mujoco
from esengine.errors import UserError
from esengine.launch.training.problem_from_settings import trained_policy
from esengine.noise import create_table
from esengine.policies import Actor, PolicySpec, RunningStatistics
from esengine.policies.normalizer import merge_moments
from esengine.pool import Pool, RankState
from esengine.problems import EnvironmentProblem
from esengine.problems.failures import MembersFailed
from esengine.ranks import World
from esengine.seeding import derive_key, derive_seed
from esengine.simulators import BatchSimulator, Episode, make_simulator
from esengine.simulators.stepped import GymnasiumSimulator, run_episode
from tests.support import worlds
from tests.support.problems import WORLDS, problem_for

ENVIRONMENTS = [
    "CartPole-v1",
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "FrozenLake-v1",
    "Blackjack-v1",
    "Swimmer-v5",
]


def episode(
    problem: EnvironmentProblem, env: gymnasium.Env[Any, Any], seed: int, sampled: bool = False
) -> Episode:
    spec = PolicySpec(problem.observations.dim, problem.policy.action, (5,), sampled)
    random = np.random.default_rng(0)
    parameters = random.standard_normal(spec.num_parameters).astype(np.float32)
    ones = np.ones(problem.observations.dim, np.float32)
    return run_episode(
        env, problem.observations, Actor(spec, parameters, 0 * ones, ones), seed, max_steps=100
    )


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize(
    "env_id", [*(f"{WORLDS}:{name}" for name in worlds.SPACE_IDS), *ENVIRONMENTS]
)
def test_an_episode_is_a_function_of_its_seed(env_id: str, sampled: bool) -> None:
    problem = problem_for(env_id)
    env = problem.environment.make()
    first = episode(problem, env, 1, sampled)
    episode(problem, env, 2, sampled)
    assert episode(problem, env, 1, sampled) == first
    assert first.num_steps >= 1


def test_returns_equal_a_plain_gymnasium_loop() -> None:
    problem = problem_for("CartPole-v1")
    env = problem.environment.make()
    ours = episode(problem, env, 7)
    spec = problem.policy
    parameters = np.random.default_rng(0).standard_normal(spec.num_parameters).astype(np.float32)
    actor = Actor(spec, parameters, np.zeros(4, np.float32), np.ones(4, np.float32))
    plain = gymnasium.make("CartPole-v1")
    observation, _ = plain.reset(seed=7)
    total, steps, over = 0.0, 0, False
    while not over:
        observation, reward, terminated, truncated, _ = plain.step(actor.act(observation))
        total, steps, over = (
            total + float(reward),
            steps + 1,
            terminated or truncated or steps == 99,
        )
    assert ours == Episode(total, steps)


def test_observations_of_training_are_counted_and_those_of_evaluation_are_not() -> None:
    problem = problem_for("Pendulum-v1", max_episode_steps=30)
    pool = Pool(World(), RankState(create_table(0, 16, 100, None), problem, None))
    parameters = np.zeros(problem.dimension, np.float32)
    pool.evaluate(PolicyEpisodes(0, 1, 3, parameters, "evaluation"))
    assert problem.statistics.count == 0
    pool.evaluate(PolicyEpisodes(0, 1, 3, parameters, "episode"))
    assert problem.statistics.count == 90
    assert isinstance(problem.statistics, RunningStatistics)


def test_two_signs_of_a_pair_meet_the_same_start_and_others_do_not() -> None:
    def seeds(**settings: Any) -> list[int]:
        problem = problem_for("Pendulum-v1", **settings)
        candidates = PolicyEpisodes(0, 1, 4, np.zeros(problem.dimension, np.float32), "episode")
        object.__setattr__(candidates, "num_episodes", lambda member: None)
        key = derive_key(0, "episode", 1)
        groups = {derive_seed(key, group, 0) >> 32: group for group in range(6)}
        return [groups[seed] for seed in problem.seeds(candidates, np.arange(4), 1)[:, 0].tolist()]

    assert seeds(antithetic=True) == [1, 1, 2, 2]
    assert seeds() == [1, 2, 3, 4]
    assert seeds(episode_seeds="generation") == [1, 1, 1, 1]
    assert seeds(antithetic=True, episode_seeds="member") == [1, 2, 3, 4]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("hidden", [(), (9, 5)])
@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCarContinuous-v0"]
)
def test_members_in_lockstep_equal_members_one_by_one(
    env_id: str, hidden: tuple[int, ...], sampled: bool
) -> None:
    """More members than lanes, several episodes each, with a member whose parameters make it fail:
    the same bits.
    """
    problem = problem_for(env_id, episodes_per_member=3, max_episode_steps=60)
    problem.policy = replace(problem.policy, hidden_sizes=hidden, sampled=sampled)
    observations, spec = problem.observations, problem.policy
    random = np.random.default_rng(0)
    rows = random.standard_normal((21, spec.num_parameters)).astype(np.float32)
    rows[2] = np.nan
    scaling = (
        random.uniform(-1, 1, spec.observation_dim),
        random.uniform(0.5, 2, spec.observation_dim),
    )
    actor = Actor(spec, rows[0], *(part.astype(np.float32) for part in scaling))
    simulator = make_simulator(problem.environment, observations, "compiled")
    assert isinstance(simulator, BatchSimulator)
    seeds = random.integers(0, 2**63, (21, 3), np.uint64)
    statistics = np.zeros(1 + 2 * observations.dim)
    returns, steps = simulator.run_members(actor, rows, seeds, statistics, 60)
    expected = np.zeros_like(statistics)
    for member, row in enumerate(rows):
        actor.parameters, moments = row, np.zeros_like(statistics)
        episodes = [simulator.run(actor, int(seed), moments, 60) for seed in seeds[member]]
        np.testing.assert_array_equal(
            returns[member], [episode.episode_return for episode in episodes]
        )
        assert steps[member] == sum(episode.num_steps for episode in episodes)
        if np.isfinite(returns[member]).all():
            merge_moments(expected, moments)
    np.testing.assert_array_equal(statistics, expected)
    assert np.isfinite(returns[2]).all() == (
        env_id in ("CartPole-v1", "Acrobot-v1")
    )  # a NaN chooses the first action


def test_fitness_is_the_mean_over_the_members_episodes() -> None:
    returns = []
    for episodes in (1, 3):
        problem = problem_for("Pendulum-v1", episodes_per_member=episodes, max_episode_steps=20)
        candidates = PolicyEpisodes(0, 1, 1, np.zeros(problem.dimension, np.float32), "episode")
        object.__setattr__(candidates, "num_episodes", lambda member: None)
        records, _ = problem.evaluate(
            candidates, 0, candidates.rows(create_table(0, 10, 100, None), 0, 1)
        )
        returns.append(records[0])
    assert returns[0]["steps"] == 20
    assert returns[1]["steps"] == 60
    assert returns[1]["episodes"] == 3
    assert returns[0]["fitness"] != returns[1]["fitness"]


def test_an_environment_that_does_not_forget_is_cured() -> None:
    problem = problem_for(f"{WORLDS}:TestRemembering-v0", fresh_env=True)
    candidates = PolicyEpisodes(0, 1, 3, np.zeros(problem.dimension, np.float32), "evaluation")
    noise = create_table(0, 10, 100, None)
    whole, _ = problem.evaluate(candidates, 0, candidates.rows(noise, 0, 3))
    last, _ = problem.evaluate(candidates, 2, candidates.rows(noise, 2, 3))
    assert whole["fitness"][2] == last["fitness"][0]


def test_mujoco_tasks_are_recognised() -> None:
    assert is_mujoco(EnvironmentSpec("Swimmer-v5").make())
    assert not is_mujoco(EnvironmentSpec("CartPole-v1").make())


def test_unknown_names_list_close_ones() -> None:
    with pytest.raises(UserError, match="close names: Humanoid-v5"):
        EnvironmentSpec("Humanoidd-v5").make()
    with pytest.raises(UserError, match="lists them"):
        EnvironmentSpec("Zzzzzzzzzz").make()


def test_an_observation_shorter_than_declared_is_an_error() -> None:
    problem = problem_for(f"{WORLDS}:TestShort-v0")
    candidates = PolicyEpisodes(0, 1, 1, np.zeros(problem.dimension, np.float32), "evaluation")
    with pytest.raises(MembersFailed, match="an observation must have 200 numbers"):
        problem.evaluate(candidates, 0, candidates.rows(create_table(0, 10, 100, None), 0, 1))


@pytest.mark.parametrize("env_id", ["FrozenLake-v1", "Blackjack-v1", "CartPole-v1"])
def test_a_loaded_policy_acts_as_it_did_in_training(env_id: str) -> None:
    problem = problem_for(env_id)
    parameters = np.random.default_rng(0).standard_normal(problem.dimension).astype(np.float32)
    policy = trained_policy(problem, parameters)
    env = problem.environment.make()
    observation, _ = env.reset(seed=3)
    total, steps, over = 0.0, 0, False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
        total, steps, over = total + float(reward), steps + 1, terminated or truncated
    plain = GymnasiumSimulator(problem.environment.make(), problem.observations)
    assert plain.run(policy.actor(), 3) == Episode(total, steps)


def test_mujoco_says_nothing_about_gymnasiums_own_models(tmp_path: Path) -> None:
    script = (
        "from esengine.environments.spec import EnvironmentSpec; "
        "EnvironmentSpec('HalfCheetah-v5').make().reset(seed=0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout + result.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("backend", ["gymnasium", "compiled", "vectorized"])
def test_a_survival_bonus_is_taken_off_in_training_and_not_in_evaluation(backend: Any) -> None:
    settings = {"env_backend": backend, "episodes_per_member": 2}
    plain = problem_for("CartPole-v1", **settings)
    charged = problem_for("CartPole-v1", **settings, survival_bonus=1.0)
    rows = np.random.default_rng(0).standard_normal((3, plain.dimension)).astype(np.float32)
    training = AntitheticPairs(0, 1, 4, 1.0, rows[0])
    before, after = (problem.evaluate(training, 0, rows)[0] for problem in (plain, charged))
    np.testing.assert_array_equal(after["fitness"], np.zeros(3))  # the task pays 1 a step
    np.testing.assert_array_equal(after["steps"], before["steps"])
    evaluation = PolicyEpisodes(0, 1, 3, rows[0])
    before, after = (problem.evaluate(evaluation, 0, rows)[0] for problem in (plain, charged))
    np.testing.assert_array_equal(after["fitness"], before["fitness"])


def test_the_two_of_a_pair_meet_the_same_start() -> None:
    problem = problem_for("CartPole-v1", antithetic=True)
    rows = np.zeros((4, problem.dimension), np.float32)
    steps = problem.evaluate(AntitheticPairs(0, 1, 4, 1.0, rows[0]), 0, rows)[0]["steps"]
    assert steps[0] == steps[1]
    assert steps[2] == steps[3]
