"""A T-maze (Bakker 2001, "Reinforcement learning with long short-term memory"): ``esengine train
openai-es --env-id examples.t_maze:TMaze-v0 --policy gru``.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

FORWARD, LEFT, RIGHT = range(3)


class TMaze(gymnasium.Env[Any, Any]):
    """A corridor with a junction at its end, and at its beginning a sign that tells where to turn.

    The observation is the sign, -1 for left and 1 for right, which is 0 after the first step, and
    whether this is the junction. The right turn pays 1, the other one -1, and both end the episode.
    A turn in the corridor, and a step forward at the junction, cost 0.1.

    Args:
        length: steps to the junction.
        visible: whether the sign can be seen everywhere, so that no memory is needed.
    """

    def __init__(self, length: int = 10, visible: bool = False) -> None:
        self.length = length
        self.visible = visible
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.sign = int(self.np_random.choice([-1, 1]))
        self.place = 0
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        cut = self.steps == 3 * self.length
        at_junction = self.place == self.length
        if action == FORWARD:
            self.place = min(self.place + 1, self.length)
            return self._observation(), -0.1 if at_junction else 0.0, False, cut, {}
        if not at_junction:
            return self._observation(), -0.1, False, cut, {}

        is_right = action == (RIGHT if self.sign > 0 else LEFT)
        return self._observation(), 1.0 if is_right else -1.0, True, False, {}

    def _observation(self) -> NDArray[np.float32]:
        sign = self.sign if self.visible or self.steps == 0 else 0
        return np.array([sign, self.place == self.length], np.float32)


class Expert:
    """Walks to the junction and turns as the sign said."""

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self.sign = 0.0

    def act(self, observation: NDArray[Any]) -> int:
        self.sign = observation[0] or self.sign
        if not observation[1]:
            return FORWARD
        return RIGHT if self.sign > 0 else LEFT


gymnasium.register("TMaze-v0", cast(Any, TMaze))
