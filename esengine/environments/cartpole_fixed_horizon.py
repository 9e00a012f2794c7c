"""The cart-pole whose episodes never end early, so that their lengths do not show how good a policy
is.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.environments import classic_physics


class FixedHorizonCartPole(gymnasium.Env[NDArray[np.float32], int]):
    """Gymnasium's cart and pole without an end of the task; ``esengine/FixedHorizonCartPole-v0``
    cuts it after 500 steps.

    Observation: position (m), its rate, the pole's angle from upright (rad), its rate. Action: push
    left (0) or right (1). Reward of a step: 1 while the cart is within 2.4 m and the pole within 12
    degrees of upright, else 0. A method that learns from demonstrations can gain nothing
    by making episodes longer or shorter (`seals`' CartPole is made for the same reason).

    Attributes:
        state: (4,) float64: x, its rate, theta, its rate.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space: spaces.Space[Any] = spaces.Discrete(2)
        self.state = np.zeros(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.05, 0.05, 4)
        return self.state.astype(np.float32), {}

    def step(self, action: int) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        task = classic_physics.FIXED_HORIZON_CARTPOLE
        reward, _ = classic_physics.step(task, self.state, float(action), 0.0, False)
        return self.state.astype(np.float32), reward, False, False, {}
