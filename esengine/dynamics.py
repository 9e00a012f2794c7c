"""Environments as planners see them: a state that can be read and set, and many candidate control sequences run at once.

A *state* is a vector of float64 from which an environment goes on to the last bit; a *control* is a vector within finite
bounds that stands for an action. `make_dynamics` gives compiled dynamics where they exist, and steps the environment itself
otherwise. What a candidate gets depends on its own state and controls alone, never on its neighbours in a batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments.spaces import ActionSpec
from esengine.environments.spec import EnvironmentSpec, is_mujoco
from esengine.errors import UserError
from esengine.simulators import ClassicSimulator, MujocoSimulator, compiled_kind


class Transitions(NamedTuple):
    """One step of many candidates.

    Attributes:
        states: (num_candidates, state_size) the states after it.
        rewards: (num_candidates,) float64.
        terminated: (num_candidates,) bool.
    """

    states: NDArray[np.float64]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]


class Dynamics(Protocol):
    """The contract. A rank has an object of its own, which holds nothing from one call to the next.

    Attributes:
        state_size: numbers of a state.
        num_coordinates: the first of them, which say where the system is; derivatives are taken by these alone. The others,
            such as a solver's warm start, only make a step repeatable.
        low, high: (num_controls,) float64 finite bounds of a control.
        smooth: whether rewards and next states are differentiable in controls and coordinates almost everywhere.
    """

    state_size: int
    num_coordinates: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    smooth: bool

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        """The state that an environment is in, (state_size,); the environment stays as it is."""

    def action_of(self, control: NDArray[np.float64]) -> Any:
        """The action that a control stands for, in the form that the environment takes."""

    def control_of(self, action: Any) -> NDArray[np.float64]:
        """A control that stands for an action, (num_controls,); the middle of those that do."""

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        """One step from each of ``states`` (num_candidates, state_size) under ``controls`` (num_candidates, num_controls)."""

    def returns(self, state: NDArray[np.float64], controls: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum of rewards of each candidate from one state, up to its end if it terminates, (num_candidates,) float64.

        Args:
            state: (state_size,).
            controls: (num_candidates, horizon, num_controls) within the bounds.
        """


@runtime_checkable
class ObservableDynamics(Dynamics, Protocol):
    """Dynamics that know what a policy sees in a state."""

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """The flat observations of ``states`` (num_candidates, state_size), (num_candidates, obs_dim) float32."""


def make_dynamics(spec: EnvironmentSpec) -> Dynamics:
    """The dynamics of an environment.

    Raises:
        UserError: actions have no finite bounds, or the state cannot be read and set.
    """
    env = spec.make()
    kind = compiled_kind(env)
    if kind is None:
        return SteppedDynamics(env, spec.env_id)
    if kind is ClassicSimulator:
        return ClassicDynamics(env)
    if kind is MujocoSimulator:
        return MujocoDynamics(env)
    from esengine.maze_simulator import MazeDynamics

    return MazeDynamics(env)


class ClassicDynamics:
    """A classic control task in compiled code; a discrete action is a control in [-1, 1], cut into equal parts.

    Args:
        env: a task that `ClassicSimulator` runs.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine import dynamics_kernels
        from esengine.environments import classic_physics

        self._kernels: Any = dynamics_kernels
        self._simulator = ClassicSimulator(env)
        self._controls = _Controls(env, str(env.spec and env.spec.id))
        self.low, self.high, self.smooth = self._controls.low, self._controls.high, self._controls.smooth
        two = (classic_physics.PENDULUM, classic_physics.MOUNTAIN_CAR, classic_physics.MOUNTAIN_CAR_CONTINUOUS)
        self.state_size = self.num_coordinates = 2 if self._simulator.task in two else 4
        self._observation_dim = int(np.prod(env.observation_space.shape or ()))

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        return np.array(env.unwrapped.state, np.float64)  # type: ignore[attr-defined]

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return self._controls.action(control)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return self._controls.control(action)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after, rewards, terminated = np.array(states), np.empty(len(states)), np.empty(len(states), np.bool_)
        values = self._controls.values(controls)[:, 0]
        self._kernels.classic_steps(self._simulator.task, self._simulator.constant, after, values, rewards, terminated)
        return Transitions(after, rewards, terminated)

    def returns(self, state: NDArray[np.float64], controls: NDArray[np.float64]) -> NDArray[np.float64]:
        values = self._controls.values(controls)[:, :, 0]
        returns: NDArray[np.float64] = self._kernels.classic_returns(
            self._simulator.task, self._simulator.constant, state, values
        )
        return returns

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._observation_dim), np.float32)
        self._kernels.classic_observations(self._simulator.task, states, out)
        return out


class MujocoDynamics:
    """A MuJoCo task of gymnasium in compiled code, on model and data of its own.

    A state is position, velocity, the warm start of the constraint solver, and the places of bodies that the reward of
    the next step compares with, which lag behind the position.

    Args:
        env: a task that `MujocoSimulator` runs.
    """

    smooth = True

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine import dynamics_kernels

        self._kernels: Any = dynamics_kernels
        self._simulator = MujocoSimulator(env)
        self._controls = _Controls(env, str(env.spec and env.spec.id))
        self.low, self.high = self._controls.low, self._controls.high
        env.reset(seed=0)  # which fills what resets never change
        self._parts = _mujoco_parts(env)
        self.state_size = sum(part.size for part in self._parts)
        self.num_coordinates = self._parts[0].size + self._parts[1].size
        if self._parts[0].size != self._parts[1].size:
            self.smooth = False  # a quaternion's numbers cannot vary freely

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        return np.concatenate([part.ravel() for part in _mujoco_parts(env)])

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return self._controls.action(control)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return self._controls.control(action)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after, rewards, terminated = np.array(states), np.empty(len(states)), np.empty(len(states), np.bool_)
        arguments, values = self._simulator.step_arguments, self._controls.values(controls).astype(np.float32)
        self._kernels.mujoco_steps(arguments, self._parts, after, values, rewards, terminated)
        return Transitions(after, rewards, terminated)

    def returns(self, state: NDArray[np.float64], controls: NDArray[np.float64]) -> NDArray[np.float64]:
        arguments, values = self._simulator.step_arguments, self._controls.values(controls).astype(np.float32)
        returns: NDArray[np.float64] = self._kernels.mujoco_returns(arguments, self._parts, state, values)
        return returns

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._simulator.observe().size), np.float32)
        for state, row in zip(states, out, strict=True):
            self._kernels.write_state(state, self._parts)
            row[:] = self._simulator.observe()
        return out


class SteppedDynamics:
    """Any environment that has ``get_state()`` and ``set_state(state)``, or that runs on MuJoCo, stepped one by one.

    ``get_state`` returns a vector of floats from which ``set_state`` lets the environment go on exactly.

    Args:
        env: its own copy of the environment; wrappers are stepped with it, apart from limits of time.
        name: for errors.

    Raises:
        UserError: see `make_dynamics`.
    """

    smooth = True

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        self._mujoco = is_mujoco(env)
        if not self._mujoco and not (hasattr(env.unwrapped, "get_state") and hasattr(env.unwrapped, "set_state")):
            raise UserError(
                f"a planner needs an environment whose state can be set, and {name} has none; give its class get_state() and "
                "set_state(state), or take a MuJoCo or classic control task"
            )
        self._env: Any = env
        while isinstance(self._env, gymnasium.wrappers.TimeLimit | gymnasium.wrappers.OrderEnforcing):
            self._env = self._env.env
        self._controls = _Controls(env, name)
        self.low, self.high, self.smooth = self._controls.low, self._controls.high, self._controls.smooth
        env.reset(seed=0)
        self.state_size = self.num_coordinates = self.state_of(env).size

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        task: Any = env.unwrapped
        if not self._mujoco:
            return np.array(task.get_state(), np.float64).ravel()
        import mujoco

        state = np.empty(mujoco.mj_stateSize(task.model, mujoco.mjtState.mjSTATE_INTEGRATION))
        mujoco.mj_getState(task.model, task.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        return state

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return self._controls.action(control)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return self._controls.control(action)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after, rewards, terminated = np.array(states), np.empty(len(states)), np.empty(len(states), np.bool_)
        for i, (state, control) in enumerate(zip(states, controls, strict=True)):
            self._set(state)
            _, rewards[i], terminated[i], _, _ = self._env.step(self.action_of(control))
            after[i] = self.state_of(self._env)
        return Transitions(after, rewards, terminated)

    def returns(self, state: NDArray[np.float64], controls: NDArray[np.float64]) -> NDArray[np.float64]:
        returns = np.zeros(len(controls))
        for i, sequence in enumerate(controls):
            self._set(state)
            for control in sequence:
                _, reward, terminated, _, _ = self._env.step(self.action_of(control))
                returns[i] += float(reward)
                if terminated:
                    break
        return returns

    def _set(self, state: NDArray[np.float64]) -> None:
        task: Any = self._env.unwrapped
        if not self._mujoco:
            task.set_state(state.copy())
            return
        import mujoco

        for settle in (True, False):  # what follows from a position is computed, then the solver's warm start put back
            mujoco.mj_setState(task.model, task.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
            if settle:
                mujoco.mj_forward(task.model, task.data)


class _Controls:
    """Between controls, the numbers that kernels take, and actions.

    Args:
        env: whose actions.
        name: for the error.

    Raises:
        UserError: actions are neither a box with finite bounds nor one discrete choice.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], name: str) -> None:
        self._spec = ActionSpec.of(env.action_space)
        self.low, self.high = -np.ones(1), np.ones(1)
        if self._spec.kind == "box":
            self.low, self.high = np.array(self._spec.low), np.array(self._spec.high)
        if self._spec.kind not in ("box", "discrete") or not np.isfinite([*self.low, *self.high]).all():
            raise UserError(
                f"a planner needs actions of a box with finite bounds or one discrete choice, got {env.action_space} "
                f"of {name}; wrap the environment, for example with gymnasium.wrappers.RescaleAction"
            )
        self.smooth = self._spec.kind == "box"

    def values(self, controls: NDArray[np.float64]) -> NDArray[np.float64]:
        """What compiled tasks take: numbers of a box, or the index of a choice."""
        if self.smooth:
            return controls
        options = self._spec.sizes[0]
        return np.clip(np.floor((controls + 1) * (options / 2)), 0, options - 1)

    def action(self, control: NDArray[np.float64]) -> Any:
        if self.smooth:
            return control.astype(self._spec.dtype).reshape(self._spec.shape)
        return int(self.values(control)[0]) + self._spec.starts[0]

    def control(self, action: Any) -> NDArray[np.float64]:
        if self.smooth:
            return np.clip(np.asarray(action, np.float64).ravel(), self.low, self.high)
        return np.array([(2 * (int(action) - self._spec.starts[0]) + 1) / self._spec.sizes[0] - 1])


def _mujoco_parts(env: gymnasium.Env[Any, Any]) -> tuple[NDArray[np.float64], ...]:
    """The arrays of ``mjData`` that make up a state: position and velocity first."""
    data = env.unwrapped.data  # type: ignore[attr-defined]
    return data.qpos, data.qvel, data.qacc_warmstart, data.xpos.reshape(-1), data.xipos.reshape(-1)
