"""The classic control family: simulator, tracer and dynamics."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.policies.network import Actor
from esengine.simulators.classic_rollouts import trace_classic
from esengine.simulators.contract import NO_GATE, NO_MOMENTS, Episode, Gate, step_limit
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.traces import Trace


class ClassicSimulator:
    """A classic control task, all in compiled code; the environment itself is not used.

    Args:
        env: an environment that `has_compiled` accepts.

    Attributes:
        task, constant: what `classic_physics.step` takes.
    """

    most_members = 64

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine.environments import classic_physics
        from esengine.simulators import classic_rollouts, lockstep

        self._rollout: Any = classic_rollouts.rollout
        self._rollouts: Any = lockstep.rollouts
        task = env.unwrapped
        self._limit = step_limit(env)
        self.task = classic_physics.CLASSES[type(task).__name__]
        self.constant = float(getattr(task, "g", getattr(task, "goal_velocity", 0.0)))
        self._observation = np.empty(int(np.prod(env.observation_space.shape or ())), np.float32)
        env.close()

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        limit = self._limit if max_steps is None else min(self._limit, max_steps)
        moments = NO_MOMENTS if moments is None else moments
        arguments = (
            np.uint64(seed),
            limit,
            actor.compiled_arguments,
            moments,
            self._observation,
            gate.step,
            gate.least,
        )
        total, steps, at_gate = self._rollout(self.task, self.constant, *arguments)
        return Episode(total, steps, at_gate, self._observation)

    def run_members(
        self,
        actor: Actor,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        max_steps: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        limit = self._limit if max_steps is None else min(self._limit, max_steps)
        returns, steps = np.empty(seeds.shape), np.empty(len(rows), np.int64)
        parameters = np.array(rows, np.float32, order="C")
        arguments = (
            seeds,
            parameters,
            limit,
            actor.compiled_arguments,
            statistics,
            self._observation.size,
            returns,
            steps,
        )
        self._rollouts(self.task, self.constant, *arguments)
        return returns, steps

    def close(self) -> None:
        pass


def behaves_by_default(task: Any) -> bool:
    """Whether the task has the options that the kernels assume; other constants cannot be given as
    arguments.
    """
    expected = {
        "_sutton_barto_reward": False,
        "kinematics_integrator": "euler",
        "torque_noise_max": 0.0,
        "book_or_nips": "book",
    }
    return all(getattr(task, name, value) == value for name, value in expected.items())


class ClassicDynamics:
    """A classic control task in compiled code; a discrete action is a control in [-1, 1], cut into
    equal parts.

    Args:
        env: a task that `ClassicSimulator` runs.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine.environments import classic_physics
        from esengine.simulators import classic_rollouts

        self._kernels: Any = classic_rollouts
        self._simulator = ClassicSimulator(env)
        self._controls = Controls(env, str(env.spec and env.spec.id))
        self.low, self.high, self.smooth = (
            self._controls.low,
            self._controls.high,
            self._controls.smooth,
        )
        two = (
            classic_physics.PENDULUM,
            classic_physics.MOUNTAIN_CAR,
            classic_physics.MOUNTAIN_CAR_CONTINUOUS,
        )
        self.state_size = self.num_coordinates = 2 if self._simulator.task in two else 4
        self._observation_dim = int(np.prod(env.observation_space.shape or ()))

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        return np.array(env.unwrapped.state, np.float64)  # type: ignore[attr-defined]

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return self._controls.action(control)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return self._controls.control(action)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after, rewards, terminated = (
            np.array(states),
            np.empty(len(states)),
            np.empty(len(states), np.bool_),
        )
        values = self._controls.values(controls)[:, 0]
        self._kernels.classic_steps(
            self._simulator.task, self._simulator.constant, after, values, rewards, terminated
        )
        return Transitions(after, rewards, terminated)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        values = self._controls.values(controls)[:, :, 0]
        returns: NDArray[np.float64] = self._kernels.classic_returns(
            self._simulator.task, self._simulator.constant, state, values
        )
        return returns

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._observation_dim), np.float32)
        self._kernels.classic_observations(self._simulator.task, states, out)
        return out


class ClassicTracer:
    """A classic control task, all in compiled code.

    Args:
        simulator: of the task.
        observation_dim: numbers of an observation.
        horizon: most steps of an episode.
    """

    def __init__(self, simulator: ClassicSimulator, observation_dim: int, horizon: int) -> None:
        self._task, self._constant = simulator.task, simulator.constant
        self._observations = np.empty((horizon + 1, observation_dim), np.float32)
        self._choices, self._rewards = np.empty((horizon, 1)), np.empty(horizon)

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        kept = (self._observations, self._choices, self._rewards)
        task = (self._task, self._constant, np.uint64(seed))
        total, steps, terminated = trace_classic(*task, actor.compiled_arguments, moments, *kept)
        return Trace(
            self._observations[: steps + 1],
            self._choices[:steps],
            self._rewards[:steps],
            total,
            terminated,
        )

    def close(self) -> None:
        pass
