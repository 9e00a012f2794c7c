"""Planning behind wrappers that change what a policy sees, and nothing else: the planner plans in
the environment inside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from numpy.typing import NDArray

from esengine.environments import ObservationSpec
from esengine.simulators.dynamics import Dynamics, ObservableDynamics

Wrapper = gymnasium.Wrapper[Any, Any, Any, Any]

_WITH_MEMORY = (
    wrappers.DelayObservation,
    wrappers.FrameStackObservation,
    wrappers.TimeAwareObservation,
)
"""Gymnasium's wrappers whose observations are no function of the state alone."""

_NO_CHANGE = (wrappers.TimeLimit, wrappers.OrderEnforcing, wrappers.PassiveEnvChecker)
"""Gymnasium's wrappers that change nothing for a planner."""


def observation_wrappers(env: gymnasium.Env[Any, Any]) -> list[Wrapper]:
    """The outermost wrappers that change only observations, from the outside in."""
    found = []
    while isinstance(env, gymnasium.Wrapper) and not {"step", "reset"} & vars(env).keys():
        if _only_observes(env):
            found.append(env)
        elif type(env) not in _NO_CHANGE:
            break
        env = env.env
    return found


def _only_observes(env: Wrapper) -> bool:
    kind = type(env)
    plain = gymnasium.ObservationWrapper
    if env.action_space is not env.env.action_space:
        return False
    return kind in _WITH_MEMORY or (
        issubclass(kind, plain) and kind.step is plain.step and kind.reset is plain.reset
    )


def behind(dynamics: Dynamics, around: Sequence[Wrapper]) -> Dynamics:
    """The dynamics of an environment in wrappers.

    Args:
        dynamics: those of the environment inside.
        around: what `observation_wrappers` found around it.
    """
    if not around:
        return dynamics
    inside = around[-1].env.observation_space
    seen = isinstance(dynamics, ObservableDynamics) and isinstance(inside, gymnasium.spaces.Box)
    if not seen or any(isinstance(one, _WITH_MEMORY) for one in around):
        return _Behind(dynamics)
    return _Observed(dynamics, around)


class _Behind:
    """Dynamics of the environment inside, which do not compute what a policy sees."""

    def __init__(self, inner: Dynamics) -> None:
        self.inner = inner
        self.state_size = inner.state_size
        self.num_coordinates = inner.num_coordinates
        self.low, self.high = inner.low, inner.high
        self.smooth = inner.smooth
        self.state_of = inner.state_of
        self.action_of = inner.action_of
        self.control_of = inner.control_of
        self.step = inner.step
        self.returns = inner.returns


class _Observed(_Behind):
    """Dynamics of the environment inside, with the observations that the wrappers make of its
    own.
    """

    inner: ObservableDynamics

    def __init__(self, inner: Dynamics, around: Sequence[Wrapper]) -> None:
        super().__init__(inner)
        self._around = around
        self._inside = around[-1].env.observation_space
        self._space = around[0].observation_space
        self._spec = ObservationSpec.of(self._space)

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), self._spec.dim), np.float32)
        for i, row in enumerate(self.inner.observe(states)):
            observation: Any = row.astype(self._inside.dtype).reshape(self._inside.shape)
            for wrapper in reversed(self._around):
                observation = wrapper.observation(observation)  # type: ignore[attr-defined]
            out[i] = self._spec.flat(self._space, observation, np.float32)
        return out
