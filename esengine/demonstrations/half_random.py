"""Half-random actions: programs that wander further than independent noise does, and how much of
the goals' space they cover.

Ornstein-Uhlenbeck noise drifts (Uhlenbeck, Ornstein 1930; as in Lillicrap et al. 2015, arXiv
1509.02971), a sticky action is repeated with some probability (Machado et al. 2018, arXiv
1709.06009), and a primitive holds one coordinate at a bound.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.seeding import derive_key, generator

Wandering = Literal["ornstein-uhlenbeck", "sticky", "primitives"]

_REVERSION, _VOLATILITY = (
    0.15,
    0.4,
)  # of the noise in halves of the range, whose deviation becomes 0.73
_KEPT = 0.9  # probability that an action is repeated: ten steps on average
_PRIMITIVE_STEPS = 10


class Wanderer:
    """An expert that knows nothing and moves on, so that `recording` runs it as any other; it may
    take turns with a policy.

    Args:
        how: the program.
        action: the environment's actions.

    Raises:
        UserError: the program needs a box with finite bounds.
    """

    def __init__(self, how: Wandering, action: ActionSpec) -> None:
        if how == "ornstein-uhlenbeck" and action.kind != "box":
            raise UserError(
                f"ornstein-uhlenbeck noise needs box actions, got {action.kind}; use sticky or "
                f"primitives"
            )

        self._how, self._action = how, action
        self._reach = action.reach()
        self._center = action.center()
        self._random, self._step = np.random.default_rng(0), 0
        self._values = np.zeros(len(action.sizes))

    def begin(self, env: gymnasium.Env[Any, Any], seed: int) -> None:
        self._random, self._step = generator(derive_key(seed, "wandering")), 0
        self._values = np.zeros(len(self._action.sizes))

    def act(self, observation: Any) -> Any:
        """The next action of the program; the observation is not looked at."""
        if self._how == "ornstein-uhlenbeck":
            noise = self._random.standard_normal(self._values.size)
            self._values = (
                1 - _REVERSION
            ) * self._values + _VOLATILITY * noise  # ~ OU process, in halves of the range
        elif self._how == "sticky":
            if self._step == 0 or self._random.random() >= _KEPT:
                self._values = self._drawn()
        elif self._step % _PRIMITIVE_STEPS == 0:
            self._values = self._primitive()
        self._step += 1
        if self._action.kind != "box":
            return self._action.unflat(self._action.from_options(self._values.astype(np.int64)))
        drawn = self._center + self._reach * self._values
        return self._action.unflat(np.clip(drawn, self._action.low, self._action.high))

    def _drawn(self) -> NDArray[np.float64]:
        """A uniform action: halves of the range of a box, else options."""
        if self._action.kind == "box":
            return self._random.uniform(-1, 1, self._values.size)
        return np.array(
            [float(self._random.integers(options)) for options in self._action.num_options]
        )

    def _primitive(self) -> NDArray[np.float64]:
        """One coordinate at one of its bounds and the others in the middle; or one option of every
        choice.
        """
        if self._action.kind != "box":
            return self._drawn()
        values = np.zeros(self._values.size)
        values[self._random.integers(values.size)] = 1.0 if self._random.random() < 0.5 else -1.0
        return values


def coverage(visited: NDArray[np.float64], cell: float) -> tuple[int, float]:
    """How many cells of a grid were visited, and the entropy of the visits in nats.

    Args:
        visited: (num_visits, dim) places, or goals.
        cell: side of a cell, in their unit.
    """
    if not len(visited):
        return 0, 0.0
    _, counts = np.unique(np.floor(visited / cell), axis=0, return_counts=True)
    shares = counts / counts.sum()
    return len(counts), -math.fsum(float(share) * math.log(float(share)) for share in shares)
