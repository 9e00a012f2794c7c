"""A corrective rule for Pendulum-v1: balance by linear feedback once it is upright (``--rules
examples.pendulum_rule``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def when(observation: NDArray[Any]) -> bool:
    """Nearly upright, and slow enough to be held."""
    return bool(observation[0] > 0.85 and abs(observation[2]) < 4)


def act(observation: NDArray[Any]) -> NDArray[np.float32]:
    """Pull back to the middle."""
    torque = -(16 * math.atan2(observation[1], observation[0]) + 4 * float(observation[2]))
    return np.array([min(max(torque, -2.0), 2.0)], np.float32)
