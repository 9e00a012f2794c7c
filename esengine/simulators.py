"""Ways to run an episode: gymnasium's own step, or a compiled loop that is proved equal to it."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import gymnasium
import numpy as np
from gymnasium import wrappers
from numpy.typing import NDArray

from esengine.environments.spaces import ObservationSpec
from esengine.environments.spec import EnvironmentSpec
from esengine.policies.network import Actor
from esengine.rollouts import NO_GATE, Episode, Gate, run_episode
from esengine.vectorized import VectorSimulator

if TYPE_CHECKING:
    from esengine.maze_simulator import MazeSimulator

EnvBackend = Literal["auto", "gymnasium", "compiled", "vectorized"]

_NO_MOMENTS = np.empty(0)
_PLAIN_WRAPPERS = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)
_UNLIMITED = 2**62


class Simulator(Protocol):
    """Runs episodes of one environment."""

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        """One episode, with the arguments of `rollouts.run_episode`."""

    def close(self) -> None:
        """Give the environment back."""


@runtime_checkable
class BatchSimulator(Simulator, Protocol):
    """Runs the episodes of many members in one call.

    Attributes:
        most_members: members of one call beyond which nothing is gained.
    """

    most_members: int

    def run_members(
        self,
        actor: Actor,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        max_steps: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All episodes of all members; returns (num_members, num_episodes) returns and (num_members,) steps.

        Args:
            actor: gives architecture and scaling.
            rows: (num_members, num_parameters).
            seeds: (num_members, num_episodes).
            statistics: packed observation moments that the members' are added to, in order; or an empty array.
            max_steps: see `rollouts.run_episode`.
        """


class GymnasiumSimulator:
    """Any environment, stepped through gymnasium.

    The outermost wrappers that only count steps are left out: the loop here resets first and knows the limit.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], observations: ObservationSpec) -> None:
        self.env, self._observations = env, observations
        self._inner, self._limit = env, _UNLIMITED
        while isinstance(self._inner, wrappers.TimeLimit | wrappers.OrderEnforcing):
            if isinstance(self._inner, wrappers.TimeLimit):
                self._limit = min(self._limit, self._inner._max_episode_steps)
            self._inner = self._inner.env

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        limit = self._limit if max_steps is None else min(self._limit, max_steps)
        return run_episode(self._inner, self._observations, actor, seed, moments, limit, gate)

    def close(self) -> None:
        self.env.close()


class MujocoSimulator:
    """A MuJoCo task of gymnasium, reset by gymnasium and rolled out by compiled code on the environment's own data.

    Args:
        env: an environment that `has_compiled` accepts.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine.environments import mujoco_physics

        self.env = env
        self._kernels: Any = mujoco_physics
        task = env.unwrapped
        self._limit = _step_limit(env)
        model, data = task.model, task.data  # type: ignore[attr-defined]
        self._task = mujoco_physics.CLASSES[type(task).__name__]
        self._handles = (int(model._address), int(data._address))
        library = _mujoco_library()
        self._functions = tuple(_address(library, name) for name in ("mj_step", "mj_rnePostConstraint"))
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
        """The observation of the current state, (obs_dim,) float64, overwritten by the next call."""
        self._kernels.observe(self._task, self._data, self._constants, self._bodies[1], self._bodies[2], self._observation)
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
        result = self._kernels.rollout(
            *self.step_arguments,
            limit,
            actor.compiled_arguments,
            np.uint64(seed),
            _NO_MOMENTS if moments is None else moments,
            self._observation,
            gate.step,
            gate.least,
        )
        total, steps, at_gate = result
        return Episode(total, steps, at_gate, self.observe())

    def close(self) -> None:
        self.env.close()


class ClassicSimulator:
    """A classic control task, all in compiled code; the environment itself is not used.

    Args:
        env: an environment that `has_compiled` accepts.

    Attributes:
        task, constant: what `classic_physics.step` takes.
    """

    most_members = 64

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        from esengine import lockstep
        from esengine.environments import classic_physics

        self._rollout: Any = classic_physics.rollout
        self._rollouts: Any = lockstep.rollouts
        task = env.unwrapped
        self._limit = _step_limit(env)
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
        moments = _NO_MOMENTS if moments is None else moments
        arguments = (np.uint64(seed), limit, actor.compiled_arguments, moments, self._observation, gate.step, gate.least)
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
        arguments = (seeds, parameters, limit, actor.compiled_arguments, statistics, self._observation.size, returns, steps)
        self._rollouts(self.task, self.constant, *arguments)
        return returns, steps

    def close(self) -> None:
        pass


def make_simulator(spec: EnvironmentSpec, observations: ObservationSpec, backend: EnvBackend) -> Simulator:
    """A simulator for a new environment.

    Args:
        spec: the environment.
        observations: how its observations are flattened.
        backend: ``auto`` and ``compiled`` are compiled where that exists.
    """
    if backend == "vectorized":
        return VectorSimulator(spec)
    env = spec.make()
    kind = compiled_kind(env) if backend != "gymnasium" else None
    return GymnasiumSimulator(env, observations) if kind is None else kind(env)


def has_compiled(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether compiled code gives this environment's observations and rewards: the task itself, and nothing around it."""
    return compiled_kind(env) is not None


def compiled_kind(env: gymnasium.Env[Any, Any]) -> type[MujocoSimulator] | type[ClassicSimulator] | type[MazeSimulator] | None:
    """The simulator whose compiled code gives this environment's observations and rewards, or None."""
    inner: Any = env
    while isinstance(inner, gymnasium.Wrapper):
        if type(inner) not in _PLAIN_WRAPPERS:
            return None
        inner = inner.env
    home, name = type(inner).__module__, type(inner).__name__
    if home.startswith("gymnasium.envs.classic_control.") or home in (
        "esengine.environments.cartpole_swing_up",
        "esengine.environments.cartpole_fixed_horizon",
    ):
        from esengine.environments import classic_physics

        return ClassicSimulator if name in classic_physics.CLASSES and _behaves_by_default(inner) else None
    if home == "esengine.environments.point_maze":
        from esengine.maze_simulator import MazeSimulator

        return MazeSimulator
    if home.startswith("gymnasium.envs.mujoco.") and home.endswith("_v5"):
        from esengine.environments import mujoco_physics

        return MujocoSimulator if name in mujoco_physics.CLASSES and _observes_by_default(inner) else None
    return None


def _observes_by_default(task: Any) -> bool:
    names = [name for name in vars(task) if name.startswith(("_include_", "_exclude_"))]
    return all(getattr(task, name) is True for name in names)


def _behaves_by_default(task: Any) -> bool:
    """Whether the task has the options that the kernels assume; other constants cannot be given as arguments."""
    expected = {
        "_sutton_barto_reward": False,
        "kinematics_integrator": "euler",
        "torque_noise_max": 0.0,
        "book_or_nips": "book",
    }
    return all(getattr(task, name, value) == value for name, value in expected.items())


def _step_limit(env: gymnasium.Env[Any, Any]) -> int:
    return getattr(env.spec, "max_episode_steps", None) or _UNLIMITED


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
    ranges = {"healthy_z": "_healthy_z_range", "healthy_angle": "_healthy_angle_range", "healthy_state": "_healthy_state_range"}
    if name == "dt":
        return float(task.dt)
    prefix, _, end = name.rpartition("_")
    if end in ("low", "high"):
        attribute = ranges.get(prefix)
        if attribute is None:  # the ant clips forces, the humanoid their cost
            attribute = "_contact_force_range" if hasattr(task, "_contact_force_range") else "_contact_cost_range"
        return float(getattr(task, attribute, (0.0, 0.0))[end == "high"])
    return float(getattr(task, f"_{name}", 0.0))
