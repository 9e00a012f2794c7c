"""Ways to run an episode: gymnasium's own step, or a compiled loop that is proved equal to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium import wrappers

from esengine.environments.rules import Rules
from esengine.environments.spaces import ActionSpec, ObservationSpec
from esengine.environments.spec import EnvironmentSpec
from esengine.simulators.classic import (
    ClassicDynamics,
    ClassicSimulator,
    ClassicTracer,
    behaves_by_default,
)
from esengine.simulators.contract import EnvBackend, Simulator
from esengine.simulators.dynamics import Dynamics
from esengine.simulators.mujoco import (
    MujocoDynamics,
    MujocoSimulator,
    MujocoTracer,
    observes_by_default,
)
from esengine.simulators.stepped import GymnasiumSimulator, GymnasiumTracer, SteppedDynamics
from esengine.simulators.traces import Tracer
from esengine.simulators.vectorized import VectorSimulator

if TYPE_CHECKING:
    from esengine.simulators.maze import MazeSimulator


_PLAIN_WRAPPERS = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)


def make_simulator(
    spec: EnvironmentSpec, observations: ObservationSpec, backend: EnvBackend
) -> Simulator:
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
    """Whether compiled code gives this environment's observations and rewards: the task itself, and
    nothing around it.
    """
    return compiled_kind(env) is not None


def compiled_kind(
    env: gymnasium.Env[Any, Any],
) -> type[MujocoSimulator] | type[ClassicSimulator] | type[MazeSimulator] | None:
    """The simulator whose compiled code gives this environment's observations and rewards, or
    None.
    """
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

        return (
            ClassicSimulator
            if name in classic_physics.CLASSES and behaves_by_default(inner)
            else None
        )
    if home == "esengine.environments.point_maze":
        from esengine.simulators.maze import MazeSimulator

        return MazeSimulator
    if home.startswith("gymnasium.envs.mujoco.") and home.endswith("_v5"):
        from esengine.environments import mujoco_physics

        return (
            MujocoSimulator
            if name in mujoco_physics.CLASSES and observes_by_default(inner)
            else None
        )
    return None


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
    from esengine.simulators.maze import MazeDynamics

    return MazeDynamics(env)


def make_tracer(
    spec: EnvironmentSpec,
    observations: ObservationSpec,
    action: ActionSpec,
    rules: Rules,
    backend: EnvBackend,
    horizon: int,
) -> Tracer:
    """A tracer for a new environment, compiled where that exists, unless rules step in or
    ``backend`` is gymnasium.
    """
    if not rules and backend != "gymnasium":
        simulator = make_simulator(spec, observations, backend)
        if isinstance(simulator, ClassicSimulator):
            return ClassicTracer(simulator, observations.dim, horizon)
        if isinstance(simulator, MujocoSimulator):
            return MujocoTracer(simulator, observations.dim, len(action.sizes), horizon)
        simulator.close()
    return GymnasiumTracer(spec.make(), observations, action, rules, horizon)
