"""Experts and rules that the tests name as ``teachers:...``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def lean(observation: NDArray[Any]) -> int:
    """Balances CartPole for a while."""
    return int(observation[2] + 0.2 * observation[3] > 0)


def still(observation: NDArray[Any]) -> int:
    """Does the first action always."""
    return 0


class Counting:
    """Sees the environment, draws by its seed, and starts over with every episode."""

    def begin(self, env: Any, seed: int) -> None:
        self.env, self.random = env, np.random.default_rng(seed)

    def act(self, observation: Any) -> NDArray[np.float64]:
        angle, speed = self.env.unwrapped.state
        return np.array([np.clip(-math.sin(angle) - speed + self.random.normal(), -2, 2)])


def too_strong(observation: Any) -> NDArray[np.float64]:
    """Out of the pendulum's bounds."""
    return np.array([3.0])


def when(observation: NDArray[Any]) -> bool:
    """The pendulum leans to one side."""
    return bool(observation[1] > 0)


def act(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Push it back."""
    return np.array([np.clip(-16 * observation[1] - 4 * observation[2], -2, 2)], np.float32)


def pull(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Damps the pendulum and pulls it to one side."""
    return np.array([np.clip(1.5 * observation[1] - 0.5 * observation[2], -2, 2)], np.float32)
