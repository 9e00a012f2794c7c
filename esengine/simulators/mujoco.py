"""The MuJoCo family: simulator, tracer and dynamics."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.policies.network import Actor
from esengine.simulators.contract import NO_GATE, NO_MOMENTS, Episode, Gate, step_limit
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.traces import Trace


class MujocoSimulator:
    """A MuJoCo task of gymnasium, reset by gymnasium and rolled out by compiled code on the
    environment's own data.

    Args:
        env: an environment that `has_compiled` accepts.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine.environments import mujoco_physics
        from esengine.simulators import mujoco_rollouts

        self.env = env
        self._observe: Any = mujoco_physics.observe
        self._rollout: Any = mujoco_rollouts.rollout
        task = env.unwrapped
        self._limit = step_limit(env)
        model, data = task.model, task.data  # type: ignore[attr-defined]
        self._task = mujoco_physics.CLASSES[type(task).__name__]
        self._handles = (int(model._address), int(data._address))
        library = _mujoco_library()
        self._functions = tuple(
            _address(library, name) for name in ("mj_step", "mj_rnePostConstraint")
        )
        self._data = tuple(getattr(data, name) for name in mujoco_physics.DATA_FIELDS)
        self._body_mass = np.array(model.body_mass)
        self._bodies = _bodies(task)
        self._constants = np.array([_constant(task, name) for name in mujoco_physics.CONSTANTS])
        self._observation = np.empty(int(np.prod(env.observation_space.shape or ())))

    @property
    def step_arguments(self) -> tuple[Any, ...]:
        """What `mujoco_physics.step` takes before the action."""
        frame_skip = int(self.env.unwrapped.frame_skip)  # type: ignore[attr-defined]
        state = (self._data, self._body_mass, self._bodies, self._constants)
        return (self._task, self._functions, self._handles, frame_skip, *state)

    def observe(self) -> NDArray[np.float64]:
        """The observation of the current state, (obs_dim,) float64, overwritten by the next
        call.
        """
        self._observe(
            self._task,
            self._data,
            self._constants,
            self._bodies[1],
            self._bodies[2],
            self._observation,
        )
        return self._observation

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        self.env.reset(seed=seed)
        limit = self._limit if max_steps is None else min(self._limit, max_steps)
        result = self._rollout(
            *self.step_arguments,
            limit,
            actor.compiled_arguments,
            np.uint64(seed),
            NO_MOMENTS if moments is None else moments,
            self._observation,
            gate.step,
            gate.least,
        )
        total, steps, at_gate = result
        return Episode(total, steps, at_gate, self.observe())

    def close(self) -> None:
        self.env.close()


def observes_by_default(task: Any) -> bool:
    names = [name for name in vars(task) if name.startswith(("_include_", "_exclude_"))]
    return all(getattr(task, name) is True for name in names)


def _mujoco_library() -> ctypes.CDLL:
    import mujoco

    (path,) = Path(mujoco.__file__).parent.glob("libmujoco.so*")
    return ctypes.CDLL(str(path))


def _address(library: ctypes.CDLL, name: str) -> int:
    address = ctypes.cast(getattr(library, name), ctypes.c_void_p).value
    assert address is not None
    return address


def _bodies(task: Any) -> tuple[int, int, int]:
    """Ids of the main body, the fingertip and the target; 0 where the task has none."""
    main = getattr(task, "_main_body", 0)
    main_id = int(main) if isinstance(main, int) else int(task.data.body(main).id)
    names = {task.model.body(i).name: i for i in range(task.model.nbody)}
    return main_id, names.get("fingertip", 0), names.get("target", 0)


def _constant(task: Any, name: str) -> float:
    """A number of `mujoco_physics.CONSTANTS`, 0 where the task has none."""
    ranges = {
        "healthy_z": "_healthy_z_range",
        "healthy_angle": "_healthy_angle_range",
        "healthy_state": "_healthy_state_range",
    }
    if name == "dt":
        return float(task.dt)
    prefix, _, end = name.rpartition("_")
    if end in ("low", "high"):
        attribute = ranges.get(prefix)
        if attribute is None:  # the ant clips forces, the humanoid their cost
            attribute = (
                "_contact_force_range"
                if hasattr(task, "_contact_force_range")
                else "_contact_cost_range"
            )
        return float(getattr(task, attribute, (0.0, 0.0))[end == "high"])
    return float(getattr(task, f"_{name}", 0.0))


class MujocoDynamics:
    """A MuJoCo task of gymnasium in compiled code, on model and data of its own.

    A state is position, velocity, the warm start of the constraint solver, and the places of bodies
    that the reward of the next step compares with, which lag behind the position.

    Args:
        env: a task that `MujocoSimulator` runs.
    """

    smooth = True

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine.simulators import mujoco_rollouts

        self._kernels: Any = mujoco_rollouts
        self._simulator = MujocoSimulator(env)
        self._controls = Controls(env, str(env.spec and env.spec.id))
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
        after, rewards, terminated = (
            np.array(states),
            np.empty(len(states)),
            np.empty(len(states), np.bool_),
        )
        arguments, values = (
            self._simulator.step_arguments,
            self._controls.values(controls).astype(np.float32),
        )
        self._kernels.mujoco_steps(arguments, self._parts, after, values, rewards, terminated)
        return Transitions(after, rewards, terminated)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        arguments, values = (
            self._simulator.step_arguments,
            self._controls.values(controls).astype(np.float32),
        )
        returns: NDArray[np.float64] = self._kernels.mujoco_returns(
            arguments, self._parts, state, values
        )
        return returns

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._simulator.observe().size), np.float32)
        for state, row in zip(states, out, strict=True):
            self._kernels.write_state(state, self._parts)
            row[:] = self._simulator.observe()
        return out


def _mujoco_parts(env: gymnasium.Env[Any, Any]) -> tuple[NDArray[np.float64], ...]:
    """The arrays of ``mjData`` that make up a state: position and velocity first."""
    data = env.unwrapped.data  # type: ignore[attr-defined]
    return data.qpos, data.qvel, data.qacc_warmstart, data.xpos.reshape(-1), data.xipos.reshape(-1)


class MujocoTracer:
    """A MuJoCo task, reset by gymnasium and rolled out by compiled code.

    Args:
        simulator: of the task.
        observation_dim: numbers of an observation.
        num_choices: numbers of an action.
        horizon: most steps of an episode.
    """

    def __init__(
        self, simulator: MujocoSimulator, observation_dim: int, num_choices: int, horizon: int
    ) -> None:
        from esengine.simulators import mujoco_rollouts

        self._simulator, self._kernel = simulator, mujoco_rollouts.trace
        self._observations = np.empty((horizon + 1, observation_dim), np.float32)
        self._choices, self._rewards = np.empty((horizon, num_choices)), np.empty(horizon)

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        self._simulator.env.reset(seed=seed)
        kept = (self._observations, self._choices, self._rewards)
        acting = (actor.compiled_arguments, np.uint64(seed), moments, self._simulator.observe())
        total, steps, terminated = self._kernel(*self._simulator.step_arguments, *acting, *kept)
        return Trace(
            self._observations[: steps + 1],
            self._choices[:steps],
            self._rewards[:steps],
            total,
            terminated,
        )

    def close(self) -> None:
        self._simulator.close()
