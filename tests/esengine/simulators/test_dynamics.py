"""Simulator states that are read and set: a candidate's steps are the environment's own, to the
last bit.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.simulators import Dynamics, ObservableDynamics, SteppedDynamics, make_dynamics
from esengine.simulators.classic import ClassicDynamics
from esengine.simulators.mujoco import MujocoDynamics

ENVIRONMENTS = {
    "Pendulum-v1": ClassicDynamics,
    "CartPole-v1": ClassicDynamics,
    "Acrobot-v1": ClassicDynamics,
    "esengine/CartPoleSwingUp-v0": ClassicDynamics,
    "HalfCheetah-v5": MujocoDynamics,
    "Ant-v5": MujocoDynamics,
    "Humanoid-v5": MujocoDynamics,
    "Hopper-v5": MujocoDynamics,
    "HumanoidStandup-v5": SteppedDynamics,
}


def random_controls(dynamics: Dynamics, num_candidates: int, horizon: int) -> NDArray[np.float64]:
    random = np.random.default_rng(0)
    controls: NDArray[np.float64] = random.uniform(
        dynamics.low, dynamics.high, (num_candidates, horizon, dynamics.low.size)
    )
    return controls


@pytest.mark.parametrize(("env_id", "kind"), ENVIRONMENTS.items())
def test_candidates_are_what_the_environment_would_have_done(env_id: str, kind: type[Any]) -> None:
    spec = EnvironmentSpec(env_id)
    dynamics, env = make_dynamics(spec), spec.make()
    assert isinstance(dynamics, kind)
    candidates = random_controls(dynamics, 19, 6)
    exact = kind is MujocoDynamics or "esengine/" in env_id
    for seed in (0, 1):
        env.reset(seed=seed)
        for _ in range(seed * 20):  # a state in the middle of an episode
            if env.step(env.action_space.sample())[2]:
                env.reset(seed=seed)
        start = dynamics.state_of(env)
        before = start.copy()
        returns = dynamics.returns(start, candidates)
        np.testing.assert_array_equal(dynamics.state_of(env), before)
        np.testing.assert_array_equal(
            dynamics.returns(start, candidates[3:9]), returns[3:9]
        )  # whatever the batch
        total, state = 0.0, start
        for control in candidates[7]:
            transitions = dynamics.step(np.stack([start, state]), np.stack([control, control]))
            _, reward, terminated, _, _ = env.step(dynamics.action_of(control))
            state, total = transitions.states[1], total + float(transitions.rewards[1])
            tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-6, "atol": 1e-8}
            np.testing.assert_allclose(state, dynamics.state_of(env), **tolerance)
            np.testing.assert_allclose(transitions.rewards[1], float(reward), **tolerance)
            assert transitions.terminated[1] == terminated
            if terminated:
                break
        assert returns[7] == total


class Counter(gymnasium.Env[Any, Any]):
    """An environment of a user's own, with a state that can be set."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space: gymnasium.Space[Any] = gymnasium.spaces.Discrete(3, start=-1)
    place = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.place = 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += action
        return np.full(1, self.place, np.float32), self.place, self.place == 4, False, {}

    def get_state(self) -> list[float]:
        return [self.place]

    def set_state(self, state: NDArray[np.float64]) -> None:
        (self.place,) = state


class Clock(Counter):
    """It also says what a policy sees, and that its second number is no place."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    num_coordinates = 1
    hours = 0.0

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.hours += 1
        _, reward, terminated, truncated, info = super().step(action)
        return self.get_observation(), reward, terminated, truncated, info

    def get_observation(self) -> NDArray[np.float32]:
        return np.array([self.hours, self.place], np.float32)

    def get_state(self) -> list[float]:
        return [self.place, self.hours]

    def set_state(self, state: NDArray[np.float64]) -> None:
        self.place, self.hours = state


class Hidden(Counter):
    """Its state cannot be set."""

    set_state = None  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        if name == "set_state":
            raise AttributeError(name)
        return super().__getattribute__(name)


class Unbounded(Counter):
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))


gymnasium.register("TestCounter-v0", cast(Any, Counter), max_episode_steps=3)
gymnasium.register("TestClock-v0", cast(Any, Clock), max_episode_steps=3)
gymnasium.register("TestHidden-v0", cast(Any, Hidden))
gymnasium.register("TestUnboundedCounter-v0", cast(Any, Unbounded))


def test_an_environment_with_get_state_and_set_state_is_stepped_without_its_time_limit() -> None:
    spec = EnvironmentSpec("TestCounter-v0")
    dynamics, env = make_dynamics(spec), spec.make()
    env.reset(seed=0)
    controls = np.array([[-1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])[
        :, :, None
    ]  # by thirds of the range: -1, 0 and 1
    assert dynamics.returns(dynamics.state_of(env), controls).tolist() == [-1 - 1 + 0, 1 + 2 + 3]
    longer = np.ones((1, 9, 1))
    assert dynamics.returns(dynamics.state_of(env), longer).tolist() == [
        1 + 2 + 3 + 4
    ]  # it terminates at 4
    assert [dynamics.action_of(np.array([value])) for value in (-1.0, -0.4, 0.0, 0.4, 1.0)] == [
        -1,
        -1 + 0,
        0,
        1,
        1,
    ]


def test_an_environment_with_get_observation_says_what_a_policy_sees() -> None:
    dynamics = make_dynamics(EnvironmentSpec("TestClock-v0"))
    assert isinstance(dynamics, ObservableDynamics)
    assert (dynamics.state_size, dynamics.num_coordinates) == (2, 1)
    states = np.array([[3.0, 7.0], [-1.0, 2.0]])
    after = dynamics.step(states, np.ones((2, 1))).states
    assert after.tolist() == [[4, 8], [0, 3]]
    assert dynamics.observe(after).tolist() == [[8, 4], [3, 0]]
    counting = make_dynamics(EnvironmentSpec("TestCounter-v0"))
    assert not isinstance(counting, ObservableDynamics)
    wrapped = EnvironmentSpec("TestClock-v0", wrappers=(("ClipReward", {"max_reward": 1}),))
    assert not isinstance(make_dynamics(wrapped), ObservableDynamics)


def test_an_environment_that_no_planner_can_use_says_why() -> None:
    with pytest.raises(UserError, match=r"give its class get_state\(\) and set_state"):
        make_dynamics(EnvironmentSpec("TestHidden-v0"))
    with pytest.raises(UserError, match="a box with finite bounds or one discrete choice"):
        make_dynamics(EnvironmentSpec("TestUnboundedCounter-v0"))


class Positions(gymnasium.ObservationWrapper[Any, Any, Any]):
    """The first two numbers of an observation alone."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)

    def observation(self, observation: Any) -> Any:
        return observation[:2].astype(np.float64)


class Halved(Positions):
    """Rewards change, too."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, float(reward) / 2, *rest


def positions(task: str, halved: bool = False) -> gymnasium.Env[Any, Any]:
    return (Halved if halved else Positions)(gymnasium.make(task))


gymnasium.register("TestPositions-v0", cast(Any, positions))

STACKED = (("FrameStackObservation", {"stack_size": 3}),)


@pytest.mark.parametrize("env_id", ["Pendulum-v1", "InvertedPendulum-v5"])
def test_a_planner_sees_through_wrappers_of_observations(env_id: str) -> None:
    spec = EnvironmentSpec("TestPositions-v0", {"task": env_id})
    plain, env = make_dynamics(EnvironmentSpec(env_id)), spec.make()
    candidates = random_controls(plain, 7, 5)
    seen, _ = env.reset(seed=3)
    windows = EnvironmentSpec(spec.env_id, spec.arguments, STACKED)
    for one in (spec, windows):
        dynamics = make_dynamics(one)
        state = dynamics.state_of(env)
        expected = plain.returns(plain.state_of(env), candidates)
        np.testing.assert_array_equal(dynamics.returns(state, candidates), expected)
        assert isinstance(dynamics, ObservableDynamics) == (one is spec)
        if isinstance(dynamics, ObservableDynamics):
            np.testing.assert_array_equal(
                dynamics.observe(np.stack([state, state])), np.array([seen, seen], np.float32)
            )


def test_a_planner_does_not_see_through_a_wrapper_that_changes_rewards() -> None:
    arguments = {"task": "InvertedPendulum-v5", "halved": True}
    dynamics = make_dynamics(EnvironmentSpec("TestPositions-v0", arguments))
    assert isinstance(dynamics, SteppedDynamics)
    with pytest.raises(UserError, match="whose state can be set"):
        make_dynamics(EnvironmentSpec("TestPositions-v0", arguments | {"task": "Pendulum-v1"}))
