"""The table of families, and what is made of it: simulators and dynamics of environments."""

from __future__ import annotations

from typing import Any

import gymnasium
from gymnasium import wrappers

from esengine.environments import EnvironmentSpec, ObservationSpec, Rules
from esengine.environments.task_code import is_at_home
from esengine.simulators.behind_wrappers import behind, observation_wrappers
from esengine.simulators.classic import CLASSIC
from esengine.simulators.contract import EnvBackend, Family, Simulator
from esengine.simulators.dynamics import Dynamics
from esengine.simulators.maze import MAZE
from esengine.simulators.mujoco import MUJOCO
from esengine.simulators.stepped import GymnasiumSimulator
from esengine.simulators.stepped_dynamics import STEPPED
from esengine.simulators.vectorized import VectorSimulator

FAMILIES = (CLASSIC, MUJOCO, MAZE, STEPPED)
"""The first that matches an environment simulates it; the last one matches every environment and
steps it in Python.
"""

_PLAIN_WRAPPERS = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)


def make_simulator(
    spec: EnvironmentSpec,
    observations: ObservationSpec,
    backend: EnvBackend,
    rules: Rules | None = None,
) -> Simulator:
    """A simulator of a new environment.

    Args:
        spec: the environment.
        observations: how its observations are flattened.
        backend: ``auto`` and ``compiled`` take the compiled form where there is one.
        rules: replace a policy's actions while they fire. They need an environment that is stepped
            in Python, whatever the backend.
    """
    if rules:
        return GymnasiumSimulator(spec.open(), observations, rules)
    if backend == "vectorized":
        return VectorSimulator(spec)
    env = spec.open()
    family = STEPPED if backend == "gymnasium" else family_of(env)
    return family.simulator(env, observations)


def make_dynamics(spec: EnvironmentSpec) -> Dynamics:
    """The dynamics of an environment. Its outermost wrappers may change what a policy sees.

    Raises:
        UserError: actions have no finite bounds, or the state cannot be read and set.
    """
    env = spec.open()
    around = observation_wrappers(env)
    inside = around[-1].env if around else env
    return behind(family_of(inside).dynamics(inside), around)


def has_compiled(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether compiled code computes this environment's observations and rewards."""
    return family_of(env) is not STEPPED


def family_of(env: gymnasium.Env[Any, Any]) -> Family:
    """The family that simulates an environment: that of its class if the environment is as
    compiled, otherwise the last one.
    """
    return STEPPED if why_stepped(env) is not None else _family_of_class(env)


def why_stepped(env: gymnasium.Env[Any, Any]) -> str | None:
    """What keeps an environment from its compiled form, in words; None if nothing does, or if it
    has none.
    """
    family = _family_of_class(env)
    task = env.unwrapped
    if family is STEPPED:
        return None

    while isinstance(env, gymnasium.Wrapper):
        kind = type(env)
        if kind not in _PLAIN_WRAPPERS:
            return f"it has the wrapper {kind.__name__}"
        if not is_at_home(kind) or {"step", "reset"} & vars(env).keys():
            return f"a method of its wrapper {kind.__name__} was replaced"
        env = env.env
    return family.difference(task)


def _family_of_class(env: gymnasium.Env[Any, Any]) -> Family:
    return next(family for family in FAMILIES if family.matches(env.unwrapped))
