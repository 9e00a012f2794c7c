"""The MuJoCo family, reset by gymnasium and stepped by compiled code: simulator and dynamics."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ObservationSpec, class_of, mujoco_physics
from esengine.environments.task_code import changed_code
from esengine.errors import in_one_line
from esengine.policies.network import Actor
from esengine.simulators import mujoco_rollouts
from esengine.simulators.contract import NO_MOMENTS, Family, step_limit
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.traces import Episode, TraceBuffer
from esengine.user_code import close


class MujocoSimulator:
    """Runs a MuJoCo task of gymnasium on the environment's own model and data.

    Args:
        env: a task of the family.
        observations: how its observations become flat vectors.

    Attributes:
        step_arguments: what `mujoco_physics.step` takes before the action.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], observations: ObservationSpec) -> None:
        self.env = env
        self._limit = step_limit(env)
        self.step_arguments = step_arguments(env)
        self._observation = np.empty(observations.dim)

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        trace: TraceBuffer | None = None,
    ) -> Episode:
        self.env.reset(seed=seed)
        total, steps, terminated = mujoco_rollouts.rollout(
            self.step_arguments,
            self._limit if max_steps is None else min(self._limit, max_steps),
            actor.compiled_arguments,
            np.uint64(seed),
            NO_MOMENTS if moments is None else moments,
            self._observation,
            None if trace is None else trace.arrays,
        )
        return Episode(total, steps, terminated, self._observation)

    def close(self) -> None:
        close(self.env)


class MujocoDynamics(Controls):
    """A MuJoCo task of gymnasium for planners, on its own model and data.

    A state is position, velocity, the warm start of the constraint solver, and the places of bodies
    that the reward of the next step compares with, which lag behind the position.

    Args:
        env: a task of the family, owned by these dynamics.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        env.reset(seed=0)  # which fills what resets never change
        self._step_arguments = step_arguments(env)
        self._observation_dim = ObservationSpec.of(env.observation_space).dim
        self._env = env  # whose arrays are used

        self._parts = _state_parts(env)
        position, velocity = self._parts[0].size, self._parts[1].size
        self.state_size = sum(part.size for part in self._parts)
        self.num_coordinates = position + velocity
        self.smooth = position == velocity  # a quaternion's numbers cannot vary freely

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        return np.concatenate([part.ravel() for part in _state_parts(env)])

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        transitions = Transitions.starting_from(states)
        actions = controls.astype(np.float32)
        mujoco_rollouts.steps(self._step_arguments, self._parts, *transitions, actions)
        return transitions

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return mujoco_rollouts.returns(
            self._step_arguments, self._parts, state, controls.astype(np.float32)
        )

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._observation_dim), np.float32)
        mujoco_rollouts.observations(self._step_arguments, self._parts, states, out)
        return out


def step_arguments(env: gymnasium.Env[Any, Any]) -> tuple[Any, ...]:
    """What `mujoco_physics.step` takes before the action, on the environment's own data."""
    import mujoco

    task: Any = env.unwrapped
    row = mujoco_physics.TASKS[class_of(task)]
    (path,) = Path(mujoco.__file__).parent.glob("libmujoco.so*")
    library = ctypes.CDLL(str(path))
    functions = [
        ctypes.cast(getattr(library, name), ctypes.c_void_p).value
        for name in ("mj_step", "mj_rnePostConstraint")
    ]

    bodies = [getattr(task, name) if name.startswith("_") else name for name in row.bodies]
    ids = [int(task.data.body(body).id) for body in bodies]
    numbers = [float(getattr(task, name, 0.0)) for name in mujoco_physics.NUMBERS]
    bounds = [bound for name in mujoco_physics.RANGES for bound in getattr(task, name, (0.0, 0.0))]
    return (
        row.number,
        tuple(functions),
        (int(task.model._address), int(task.data._address)),
        int(task.frame_skip),
        tuple(getattr(task.data, name) for name in mujoco_physics.DATA_FIELDS),
        np.array(task.model.body_mass),
        (*ids, *[0] * (3 - len(ids))),
        np.array(numbers + bounds, np.float64),
    )


def _state_parts(env: gymnasium.Env[Any, Any]) -> tuple[NDArray[np.float64], ...]:
    """The arrays of ``mjData`` that make up a state: position and velocity first."""
    data = env.unwrapped.data  # type: ignore[attr-defined]
    return data.qpos, data.qvel, data.qacc_warmstart, data.xpos.reshape(-1), data.xipos.reshape(-1)


_UNUSED_IN_STEPS = {
    *("_ezpickle_args", "_ezpickle_kwargs", "_reset_noise_scale", "init_qpos", "init_qvel"),
    *("observation_space", "observation_structure", "action_space", "metadata", "spec"),
    *("fullpath", "width", "height", "render_mode", "camera_name", "camera_id", "mujoco_renderer"),
    *("_np_random", "_np_random_seed", "goal", "goal_pos", "cylinder_pos"),
}
"""Attributes that resets, rendering or spaces need."""


def _difference(task: Any) -> str | None:
    row = mujoco_physics.TASKS[class_of(task)]
    changed = changed_code(type(task), class_of(task), ("step",))
    if changed is not None:
        return changed

    passed_on = {"model", "data", "frame_skip", *row.bodies}
    numbers = {*mujoco_physics.NUMBERS, *mujoco_physics.RANGES}
    for name in sorted(vars(task).keys() - _UNUSED_IN_STEPS - passed_on):
        value = getattr(task, name)
        as_compiled = name in numbers and np.issubdtype(np.asarray(value).dtype, np.number)
        as_compiled |= isinstance(value, bool) and (
            name in numbers or (value and name.startswith(("_include_", "_exclude_")))
        )
        if not as_compiled:
            return f"its {name.lstrip('_')} is {in_one_line(value)}"
    if task.observation_space.shape != task._get_obs().shape:
        return "its observation space is not that of its observations"
    return None


MUJOCO = Family(
    "MuJoCo",
    lambda task: class_of(task) in mujoco_physics.TASKS,
    _difference,
    MujocoSimulator,
    MujocoDynamics,
)
