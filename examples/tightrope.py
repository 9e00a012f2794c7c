"""A tightrope: ``esengine collect --expert examples.tightrope:walk --env-id
examples.tightrope:Tightrope-v0``.
"""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Tightrope(gymnasium.Env[Any, Any]):
    """A chain of states on a rope: the right step goes on, any other falls, and what has fallen
    costs 1 a step.

    On the rope the right one of four steps changes from state to state; on the ground it is always
    the last, which an expert climbs back with. The observation is the state, one-hot, of which the
    expert's own episodes show the rope alone.
    """

    def __init__(self, length: int = 16, states: int = 8) -> None:
        self.length, self.states = length, states
        self.observation_space = spaces.Box(0, 1, (states + 1,), np.float32)
        self.action_space = spaces.Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = int(self.np_random.integers(self.states)), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        right = int(action) == walk(self._observation())
        self.steps += 1
        slips = self.place != self.states and not right
        fell = self.place == self.states and not right
        self.place = self.states if slips or fell else int(self.np_random.integers(self.states))
        return self._observation(), -float(slips or fell), False, self.steps == self.length, {}

    def _observation(self) -> NDArray[np.float32]:
        observation: NDArray[np.float32] = np.eye(self.states + 1, dtype=np.float32)[self.place]
        return observation


def walk(observation: NDArray[Any]) -> int:
    """The right step: it depends on the place on the rope, and is 3 on the ground."""
    place = int(np.argmax(observation))
    return 3 if place == len(observation) - 1 else place % 3


gymnasium.register("Tightrope-v0", cast(Any, Tightrope))
