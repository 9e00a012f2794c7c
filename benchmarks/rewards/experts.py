"""Scripted experts, and experts that know nothing: what is learned from the latter must be worth
nothing.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.seeding import generator
from examples.cartpole_experts import constant

__all__ = ["balance_double", "climb", "constant", "land", "random_force", "random_push"]

_BALANCE = np.array([0.213, 1.813, 5.569, 0.315, 0.902, 0.848])
"""The gains of a linear-quadratic regulator of InvertedDoublePendulum-v5, linearised where it
stands upright: on position, both angles, and their speeds.
"""


def balance_double(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Balance InvertedDoublePendulum-v5 by linear feedback, and then rest."""
    position, sine, sine_between, cosine, cosine_between, *speeds, _ = observation.tolist()
    angles = [math.atan2(sine, cosine), math.atan2(sine_between, cosine_between)]
    force = -float(_BALANCE @ [position, *angles, *speeds])
    return np.array([min(max(force, -1.0), 1.0)], np.float32)


def climb(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Pump energy into the car of MountainCarContinuous-v0: push the way it moves."""
    return np.array([math.copysign(0.7, float(observation[1]))], np.float32)


def land(observation: NDArray[Any]) -> int:
    """Land in LunarLander-v3 by gymnasium's own rules."""
    from gymnasium.envs.box2d.lunar_lander import heuristic

    discrete = SimpleNamespace(unwrapped=SimpleNamespace(continuous=False))
    return int(heuristic(discrete, observation))  # type: ignore[no-untyped-call]


def random_push(observation: NDArray[Any]) -> int:
    """Left or right by chance: a function of the observation's bits, so that no generator is
    hidden.
    """
    return int(_random(observation).integers(2))


def random_force(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Any torque by chance."""
    return _random(observation).uniform(-2, 2, 1).astype(np.float32)


def _random(observation: NDArray[Any]) -> np.random.Generator:
    return generator(int.from_bytes(np.asarray(observation, np.float32).tobytes()[:8], "little"))
