"""The cart-pole swing-up: gymnasium's cart and pole with the pole hanging down, and a force of any
size up to 10 N.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.environments import classic_physics


class CartPoleSwingUp(gymnasium.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Swing the pole up and hold it in the middle of the track; ``esengine/CartPoleSwingUp-v0``.

    Observation: position (m), its rate, cosine and sine of the pole's angle from upright, its rate
    (rad/s). Action: the force in units of 10 N. Reward of a step: (1 + cos theta) / 2 times cos(pi
    x / 4.8), between 0 and 1. The cart leaves its track, and ends the episode, beyond 2.4 m. Starts
    hang down, every number within 0.05 of rest.

    Attributes:
        state: (4,) float64: x, its rate, theta, its rate.
    """

    def __init__(self) -> None:
        high = np.array([4.8, np.inf, 1.0, 1.0, np.inf], np.float32)
        self.observation_space = spaces.Box(-high, high)
        self.action_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.state = np.zeros(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.05, 0.05, 4)
        self.state[2] += np.pi
        return self._observation(), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        force = float(np.asarray(action).ravel()[0])
        reward, terminated = classic_physics.step(
            classic_physics.CARTPOLE_SWING_UP, self.state, force, 0.0, False
        )
        return self._observation(), reward, terminated, False, {}

    def _observation(self) -> NDArray[np.float32]:
        observation = np.empty(5, np.float32)
        classic_physics.observe(classic_physics.CARTPOLE_SWING_UP, self.state, observation)
        return observation
