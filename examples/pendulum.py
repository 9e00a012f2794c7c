"""Experts for Pendulum-v1: ``esengine collect --expert examples.pendulum:swing_up --env-id
Pendulum-v1``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_UPRIGHT_ENERGY = 5.0  # m g l / 2, of a pendulum that stands still upright


def swing_up(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Pump energy until there is enough to stand upright, then balance by linear feedback."""
    cosine, sine, speed = (float(number) for number in observation)
    angle = math.atan2(sine, cosine)
    energy = speed**2 / 6 + _UPRIGHT_ENERGY * cosine
    if cosine > 0.85 and abs(speed) < 4:
        torque = -(16 * angle + 4 * speed)
    else:
        torque = 2.0 * math.copysign(1, speed) * (_UPRIGHT_ENERGY * 1.05 - energy)
    return np.array([min(max(torque, -2.0), 2.0)], np.float32)
