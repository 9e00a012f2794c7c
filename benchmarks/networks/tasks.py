"""Tasks of which a policy sees only a part: ``benchmarks.networks.tasks:CartPolePositions-v0``."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces

KEPT = {"CartPole-v1": (0, 2), "Pendulum-v1": (0, 1), "HalfCheetah-v5": tuple(range(8))}
"""The positions in a task's observation."""


class Positions(gymnasium.ObservationWrapper[Any, Any, Any]):
    """A task without its velocities.

    Args:
        task: of `KEPT`.
    """

    def __init__(self, task: str) -> None:
        env = gymnasium.make(task).unwrapped
        super().__init__(env)
        self._kept = list(KEPT[task])
        whole = env.observation_space
        assert isinstance(whole, spaces.Box)
        low, high = whole.low[self._kept], whole.high[self._kept]
        self.observation_space = spaces.Box(low, high, dtype=np.float64)

    def observation(self, observation: Any) -> Any:
        return np.asarray(observation, np.float64)[self._kept]


def _cartpole() -> gymnasium.Env[Any, Any]:
    return Positions("CartPole-v1")


def _pendulum() -> gymnasium.Env[Any, Any]:
    return Positions("Pendulum-v1")


def _half_cheetah() -> gymnasium.Env[Any, Any]:
    return Positions("HalfCheetah-v5")


gymnasium.register("CartPolePositions-v0", cast(Any, _cartpole), max_episode_steps=500)
gymnasium.register("PendulumPositions-v0", cast(Any, _pendulum), max_episode_steps=200)
gymnasium.register("HalfCheetahPositions-v0", cast(Any, _half_cheetah), max_episode_steps=1000)
