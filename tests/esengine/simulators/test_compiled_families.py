"""Compiled rollouts against gymnasium, step by step over random episodes: the same starts,
observations, rewards, ends.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from esengine.environments import classic_physics, mujoco_physics
from esengine.environments.spaces import describe
from esengine.environments.spec import EnvironmentSpec
from esengine.simulators import BatchSimulator, mujoco
from esengine.simulators.classic import ClassicSimulator, task_of
from esengine.simulators.families import family_of, has_compiled, make_simulator
from esengine.simulators.mujoco import step_arguments
from esengine.simulators.stepped import GymnasiumSimulator
from esengine.simulators.vectorized import VectorSimulator, offers_vector
from tests.support.tasks import CLASSIC, MUJOCO, OWN, actor_for


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1, 2**32, 987654321987, 2**63 - 1])
def test_starts_come_from_numpys_own_bit_stream(seed: int) -> None:
    drawn = np.empty(9)
    classic_physics.uniforms(np.uint64(seed), drawn)
    expected = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))).random(9)
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("env_id", [*CLASSIC, *OWN])
def test_every_step_of_classic_control_is_gymnasiums(env_id: str) -> None:
    env = gymnasium.make(env_id)
    task: Any = env.unwrapped
    number, constant = task_of(env)
    random, state, flat = (
        np.random.default_rng(0),
        np.empty(4),
        np.empty(env.observation_space.shape or (), np.float32),
    )
    for seed in range(8):
        observation, _ = env.reset(seed=seed)
        classic_physics.reset(number, np.uint64(seed), state)
        size = len(task.state)
        np.testing.assert_array_equal(state[:size], np.array(task.state))
        over, first = False, True
        while not over:
            classic_physics.observe(number, state, flat)
            np.testing.assert_allclose(flat, observation, rtol=1e-6, atol=1e-7)
            action = _random_action(env, random)
            value = float(np.asarray(action).ravel()[0])
            reward, terminated = classic_physics.step(number, state, value, constant, first)
            observation, expected_reward, expected_end, truncated, _ = env.step(action)
            assert reward == pytest.approx(float(expected_reward), abs=1e-9)
            assert terminated == expected_end
            np.testing.assert_allclose(
                state[:size], np.array(task.state, float), rtol=1e-13, atol=1e-14
            )
            state[:size] = task.state
            over, first = expected_end or truncated, False


def _random_action(env: gymnasium.Env[Any, Any], random: np.random.Generator) -> Any:
    space = env.action_space
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(random.integers(space.n))
    assert isinstance(space, gymnasium.spaces.Box)
    return random.uniform(space.low, space.high).astype(np.float32)


@pytest.mark.parametrize("env_id", MUJOCO)
def test_every_step_of_a_mujoco_task_is_gymnasiums_to_the_last_bit(env_id: str) -> None:
    reference = gymnasium.make(env_id)
    compiled = gymnasium.make(env_id)
    assert family_of(compiled) is mujoco.MUJOCO
    arguments = step_arguments(compiled)
    task, data, bodies, constants = arguments[0], arguments[4], arguments[6], arguments[7]
    ours = np.empty(reference.observation_space.shape or ())
    random = np.random.default_rng(0)
    for seed in range(2):
        observation, _ = reference.reset(seed=seed)
        compiled.reset(seed=seed)
        for _ in range(300):
            mujoco_physics.observe(task, data, constants, bodies, ours)
            np.testing.assert_array_equal(ours, observation)
            action = _random_action(reference, random)
            reward, terminated = mujoco_physics.step(*arguments, action)
            observation, expected_reward, expected_end, truncated, _ = reference.step(action)
            if env_id in ("Reacher-v5", "Pusher-v5"):  # NumPy's norm of a vector goes through BLAS
                assert reward == pytest.approx(float(expected_reward), rel=1e-14)
            else:
                assert reward == expected_reward
            assert terminated == expected_end
            if expected_end or truncated:
                break


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("env_id", [*CLASSIC, *OWN, *MUJOCO])
def test_whole_episodes_are_gymnasiums(env_id: str, sampled: bool) -> None:
    observations, _ = describe(EnvironmentSpec(env_id).make())
    spec, actor = EnvironmentSpec(env_id), actor_for(env_id, sampled=sampled)
    results = []
    for backend in ("gymnasium", "compiled"):
        simulator = make_simulator(spec, observations, backend)
        moments = np.zeros(1 + 2 * observations.dim)
        episodes = [simulator.run(actor, seed, moments, max_steps=150) for seed in (1, 2)]
        simulator.close()
        results.append((episodes, moments))
    for plain, compiled in zip(results[0][0], results[1][0], strict=True):
        assert compiled.num_steps == plain.num_steps
        assert compiled.episode_return == pytest.approx(plain.episode_return, rel=1e-7, abs=1e-7)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Pendulum-v1", "InvertedPendulum-v5", "esengine/PointMaze-v0"]
)
def test_a_recurrent_policy_remembers_in_every_family(env_id: str) -> None:
    spec = EnvironmentSpec(env_id)
    observations, _ = spec.spaces()
    actor = actor_for(env_id, (6, 5), sampled=True, memory="lstm", layer_norm=True)
    compiled, plain = (
        make_simulator(spec, observations, backend) for backend in ("compiled", "gymnasium")
    )
    seeds = np.arange(14, dtype=np.uint64).reshape(7, 2)  # the most that end one by one
    alone = [[compiled.run(actor, seed, None, 30) for seed in own] for own in seeds.tolist()]
    stepped = plain.run(actor, 0, None, 30)
    assert alone[0][0].num_steps == stepped.num_steps
    assert alone[0][0].episode_return == pytest.approx(stepped.episode_return, rel=1e-6)
    if isinstance(compiled, BatchSimulator):
        rows = np.tile(actor.parameters, (7, 1))
        returns, _ = compiled.run_members(actor, rows, seeds, np.zeros(0), 30)
        assert returns.tolist() == [[one.episode_return for one in own] for own in alone]
    compiled.close()
    plain.close()


def test_the_task_as_it_stands_is_compiled_and_nothing_else() -> None:
    assert has_compiled(gymnasium.make("CartPole-v1"))
    assert has_compiled(
        gymnasium.make("Hopper-v5", healthy_reward=0.0, terminate_when_unhealthy=False)
    )
    assert not has_compiled(gymnasium.make("CartPole-v1", sutton_barto_reward=True))
    assert not has_compiled(gymnasium.make("Ant-v5", include_cfrc_ext_in_observation=False))
    assert not has_compiled(
        gymnasium.make("Ant-v5", exclude_current_positions_from_observation=False)
    )
    assert not has_compiled(
        gymnasium.wrappers.TransformReward(gymnasium.make("CartPole-v1"), lambda reward: reward)
    )
    assert not has_compiled(gymnasium.make("FrozenLake-v1"))


def test_arguments_of_a_task_reach_its_compiled_form() -> None:
    spec = EnvironmentSpec(
        "Hopper-v5",
        {"healthy_reward": 3.0, "forward_reward_weight": 0.5, "healthy_z_range": [0.9, 2.0]},
    )
    observations, _ = describe(spec.make())
    actor = actor_for("Hopper-v5", seed=3)
    episodes = [
        make_simulator(spec, observations, backend).run(actor, 4)
        for backend in ("gymnasium", "compiled")
    ]
    assert episodes[0] == episodes[1]


def test_auto_takes_the_compiled_form_and_gymnasium_does_not() -> None:
    spec = EnvironmentSpec("CartPole-v1")
    observations, _ = describe(spec.make())
    assert isinstance(make_simulator(spec, observations, "auto"), ClassicSimulator)
    assert isinstance(make_simulator(spec, observations, "gymnasium"), GymnasiumSimulator)


def test_a_vector_environment_plays_the_episodes_that_its_lanes_play_alone() -> None:
    """CartPole's vector form against compiled steps from the same starts, each lane with parameters
    of its own.
    """
    spec = EnvironmentSpec("CartPole-v1")
    actor = actor_for("CartPole-v1")
    rows = (
        np.random.default_rng(3).standard_normal((6, actor.spec.num_parameters)).astype(np.float32)
    )
    statistics = np.zeros(9)
    simulator = VectorSimulator(spec)
    returns, steps = simulator.run_members(actor, rows, np.full((6, 1), 5, np.uint64), statistics)
    again, _ = simulator.run_members(actor, rows, np.full((6, 1), 5, np.uint64), np.zeros(0))
    np.testing.assert_array_equal(again, returns)
    np.testing.assert_array_equal(returns[:, 0], steps)
    assert statistics[0] == steps.sum()
    starts, _ = gymnasium.make_vec(
        "CartPole-v1", num_envs=6, vectorization_mode="vector_entry_point"
    ).reset(seed=5)
    for row, start, expected in zip(rows, starts, steps, strict=True):
        actor.parameters = row
        state, action, count, ended = start.astype(np.float64), 0, 0, False
        while not ended and count < 500:
            action = actor.act(state.astype(np.float32))
            _, ended = classic_physics.step(
                classic_physics.CARTPOLE, state, float(action), 0.0, False
            )
            count += 1
        assert abs(count - expected) <= 1  # the vector's states are float32 sums of another order
    simulator.close()


def test_a_vector_of_one_is_a_simulator_too() -> None:
    simulator = VectorSimulator(EnvironmentSpec("CartPole-v1"))
    actor, moments = actor_for("CartPole-v1"), np.zeros(9)
    episode = simulator.run(actor, 3, moments)
    assert episode.episode_return == episode.num_steps == moments[0]
    assert simulator.run(actor, 3, max_steps=2).num_steps == 2
    assert not offers_vector(EnvironmentSpec("Pendulum-v1"))


def test_sine_and_cosine_are_as_exact_as_the_librarys() -> None:
    angles = np.concatenate(
        [np.random.default_rng(0).uniform(-b, b, 20_000) for b in (1e-3, 4.0, 100.0, 1e6)]
    )
    ours = np.array([classic_physics.sincos(angle) for angle in angles])
    expected = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    assert np.abs(ours - expected).max() < 3e-16


@pytest.mark.parametrize(
    "env_id", ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "HalfCheetah-v5", "Hopper-v5"]
)
def test_the_last_observation_is_gymnasiums(env_id: str) -> None:
    spec, actor = EnvironmentSpec(env_id), actor_for(env_id)
    observations, _ = describe(spec.make())
    compiled = make_simulator(spec, observations, "compiled")
    stepped = make_simulator(spec, observations, "gymnasium")
    for max_steps in (7, 60):
        ours = compiled.run(actor, 3, max_steps=max_steps)
        theirs = stepped.run(actor, 3, max_steps=max_steps)
        assert (ours.num_steps, ours.terminated) == (theirs.num_steps, theirs.terminated)
        assert ours.episode_return == pytest.approx(theirs.episode_return, rel=1e-9)
        np.testing.assert_allclose(
            np.array(ours.last_observation),
            np.array(theirs.last_observation),
            rtol=1e-5,
            atol=1e-6,
        )
