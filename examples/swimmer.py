"""A behaviour for novelty: ``--env-id Swimmer-v5 --novelty nsr --behavior
examples.swimmer:final_position``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def final_position(env: Any, observation: NDArray[Any]) -> NDArray[np.float64]:
    """Where the body is at the end of an episode, (x, y)."""
    position: NDArray[np.float64] = env.data.qpos[:2]
    return position
