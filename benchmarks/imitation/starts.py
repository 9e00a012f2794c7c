"""The starts that every policy is judged on; it needs gymnasium alone, so that each package's
environment can run it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium

NUM_STARTS = 100


def returns_of(
    act: Callable[[Any], Any],
    correction: Callable[[Any], Any | None] = lambda observation: None,
    env_id: str = "Pendulum-v1",
    starts: int = NUM_STARTS,
) -> list[float]:
    """Return of one episode from each of the first starts; ``correction`` may replace an action."""
    env = gymnasium.make(env_id)
    returns = []
    for seed in range(starts):
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            corrected = correction(observation)
            observation, reward, terminated, truncated, _ = env.step(
                act(observation) if corrected is None else corrected
            )
            total += float(reward)
            ended = terminated or truncated
        returns.append(total)
    return returns
