"""Goals: the maze's compiled form, relabelling, half-random actions, and the lists that members aim
at.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

from esengine.demonstrations.half_random import Wanderer, Wandering, coverage
from esengine.demonstrations.recording import Acting, Recorded, record_episode
from esengine.environments.point_maze import MAZES
from esengine.environments.rules import Rules
from esengine.environments.spaces import ActionSpec, describe
from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError
from esengine.goals.episodes import AimedEnv, GoalList
from esengine.goals.goal_api import GoalLayout, relabelled, reset_to
from esengine.policies.network import Actor, PolicySpec
from esengine.simulators.families import make_dynamics, make_simulator
from esengine.simulators.maze import MazeSimulator
from esengine.simulators.stepped import run_episode

MAZE = "esengine/PointMaze-v0"
HOWS: tuple[Wandering, ...] = ("ornstein-uhlenbeck", "sticky", "primitives")


def actor_of(env: gymnasium.Env[object, object], seed: int = 0) -> Actor:
    observations, action = describe(env)
    spec = PolicySpec(observations.dim, action, (8,))
    row = np.random.default_rng(seed).normal(size=spec.num_parameters).astype(np.float32)
    return Actor(
        spec,
        row,
        np.full(observations.dim, 2, np.float32),
        np.full(observations.dim, 0.5, np.float32),
    )


def wandered(
    env_id: str, how: Wandering, seed: int, share: float = 0.5, **arguments: object
) -> Recorded:
    env = EnvironmentSpec(env_id, dict(arguments)).make()
    observations, action = describe(env)
    expert = Wanderer(how, action)
    return record_episode(
        env, observations, actor_of(env), expert, Rules(()), Acting(share), seed, max_steps=60
    )


@pytest.mark.parametrize("maze", MAZES)
def test_the_compiled_maze_has_the_environments_episodes(maze: str) -> None:
    spec = EnvironmentSpec(MAZE, {"maze": maze, "dense": maze == "s"})
    env = spec.make()
    observations, _ = describe(env)
    simulator, actor = make_simulator(spec, observations, "auto"), actor_of(env)
    assert isinstance(simulator, MazeSimulator)
    moments, own = np.zeros(1 + 2 * observations.dim), np.zeros(1 + 2 * observations.dim)
    for seed in range(12):
        expected = run_episode(env, observations, actor, seed, own)
        assert simulator.run(actor, seed, moments) == expected
    assert moments.tolist() == own.tolist()


def test_planners_see_the_maze_as_it_is() -> None:
    spec = EnvironmentSpec(MAZE, {"dense": True})
    env, dynamics = spec.make(), make_dynamics(spec)
    env.reset(seed=3)
    start = dynamics.state_of(env)
    controls = np.random.default_rng(0).uniform(-1, 1, (1, 30, 2))
    gained, state = 0.0, start
    for control in controls[0]:
        gained += float(env.step(dynamics.action_of(control))[1])
        state = dynamics.step(state[None], control[None]).states[0]
    assert state.tolist() == dynamics.state_of(env).tolist()
    assert dynamics.returns(start, controls)[0] == gained


@pytest.mark.parametrize("dense", [False, True])
def test_relabelled_rewards_are_the_environments_own(dense: bool) -> None:
    env = EnvironmentSpec(MAZE, {"dense": dense}).make()
    layout = GoalLayout.of(env)
    for seed in range(5):
        one = wandered(MAZE, "sticky", seed, dense=dense).trajectory
        goal = layout.achieved_of(one.observations[-1])
        again = relabelled(one, env, goal)
        assert again.terminated
        assert again.rewards[-1] >= (-0.4 if dense else 1.0)
        # the same actions in the environment, aimed at that goal from the start
        observation = reset_to(env, one.seed or 0, goal)
        for t, action in enumerate(again.actions):
            desired = again.observations[t, layout.desired : layout.desired + layout.size]
            assert np.array_equal(observation["desired_goal"], desired)
            observation, reward, terminated, _, _ = env.step(action.astype(np.float32))
            assert reward == again.rewards[t]
            assert reward == env.unwrapped.compute_reward(observation["achieved_goal"], goal, {})  # type: ignore[attr-defined]
        assert terminated
        batch = env.unwrapped.compute_reward(layout.achieved_of(again.observations)[1:], goal, {})  # type: ignore[attr-defined]
        assert batch.tolist() == again.rewards.tolist()


def test_half_random_actions_cover_more_than_independent_ones() -> None:
    env = EnvironmentSpec(MAZE).make()
    layout = GoalLayout.of(env)
    visited, state = [], np.random.default_rng(0)
    for seed in range(20):
        env.reset(seed=seed)
        for _ in range(60):
            observation = env.step(state.uniform(-1, 1, 2).astype(np.float32))[0]
            visited.append(observation["achieved_goal"])
    independent = coverage(np.array(visited), 0.5)
    for how in HOWS:
        episodes = [wandered(MAZE, how, seed, 1.0).trajectory for seed in range(20)]
        wide = coverage(
            np.concatenate([layout.achieved_of(one.observations) for one in episodes]), 0.5
        )
        assert wide[0] > 1.3 * independent[0]
        assert wide[1] > independent[1] + 0.2
    cells, entropy = coverage(np.array([[0.1], [0.2], [1.1], [1.4]]), 1.0)
    assert (cells, round(entropy, 12)) == (2, round(float(np.log(2)), 12))
    assert coverage(np.zeros((0, 2)), 1.0) == (0, 0.0)


def test_half_random_actions_are_functions_of_the_seed_and_fit_every_space() -> None:
    spaces = [
        gymnasium.spaces.Discrete(3, start=2),
        gymnasium.spaces.MultiDiscrete([2, 4]),
        gymnasium.spaces.MultiBinary(3),
    ]
    for space in [gymnasium.spaces.Box(-2, np.array([1.0, 2.0], np.float32)), *spaces]:
        for how in HOWS:
            if how == "ornstein-uhlenbeck" and not isinstance(space, gymnasium.spaces.Box):
                with pytest.raises(UserError, match="needs box actions"):
                    Wanderer(how, ActionSpec.of(space))
                continue
            wanderer, runs = Wanderer(how, ActionSpec.of(space)), []
            for _ in range(2):
                wanderer.begin(gymnasium.make("CartPole-v1"), 7)
                runs.append([wanderer.act(None) for _ in range(80)])
            assert all(space.contains(action) for action in runs[0])
            assert np.array_equal(np.array(runs[0]), np.array(runs[1]))
            assert len({str(action) for action in runs[0]}) > 1


def test_episodes_aim_at_the_goal_of_their_seed() -> None:
    goals = GoalList(np.array([[1.5, 1.5], [2.5, 1.5]]), np.array([0.5, 0.0, 0.5]))
    drawn = [goals.drawn(seed) for seed in range(200)]
    assert set(drawn) == {0, 2}
    assert 70 < sum(one == 0 for one in drawn) < 130
    env = AimedEnv(EnvironmentSpec(MAZE).make())
    env.goals = goals
    for seed in range(6):
        observation, _ = env.reset(seed=seed)
        own = EnvironmentSpec(MAZE).make().reset(seed=seed)[0]
        aim = goals.aim(seed)
        assert (
            observation["desired_goal"].tolist()
            == (own["desired_goal"] if aim is None else aim).tolist()
        )
        assert (
            env.step(np.zeros(2, np.float32))[0]["desired_goal"].tolist()
            == observation["desired_goal"].tolist()
        )


class Attribute(gymnasium.Env[Any, Any]):
    """Goals as Gymnasium-Robotics keeps them, in an attribute."""

    observation_space = gymnasium.spaces.Dict(
        {
            name: gymnasium.spaces.Box(-9, 9, (1,))
            for name in ("observation", "achieved_goal", "desired_goal")
        }
    )
    action_space = gymnasium.spaces.Discrete(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.goal = np.array([4.0], np.float32)
        return {
            name: self.goal.copy() for name in ("observation", "achieved_goal", "desired_goal")
        }, {}

    def compute_reward(self, achieved: object, desired: object, info: object) -> float:
        return 0.0


def test_goals_in_an_attribute_are_set_and_environments_without_goals_are_refused() -> None:
    env = Attribute()
    observation = reset_to(env, 0, np.array([2.5]))
    assert observation["desired_goal"].tolist() == env.goal.tolist() == [2.5]
    assert observation["desired_goal"].dtype == np.float32
    assert GoalLayout.of(env) == GoalLayout(achieved=0, desired=1, size=1)
    with pytest.raises(UserError, match=r"gymnasium's goal API.*CartPole-v1 has none"):
        GoalLayout.of(gymnasium.make("CartPole-v1"))
    with pytest.raises(UserError, match="maze must be one of open, u, s, snake, meander"):
        EnvironmentSpec(MAZE, {"maze": "x"}).make().close()
