"""Experts that know nothing: what is learned from them must be worth nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.seeding import generator
from examples.cartpole_experts import constant

__all__ = ["constant", "random_force", "random_push"]


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
