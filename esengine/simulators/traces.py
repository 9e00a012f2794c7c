"""Episodes whose observations and actions are kept for a learned reward: by compiled code, or
stepped through gymnasium.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.policies.network import Actor


class Trace(NamedTuple):
    """What is kept of an episode; the arrays are overwritten by the next one.

    Attributes:
        observations: (num_steps + 1, obs_dim) float32, the one after the last action included.
        choices: (num_steps, num_choices) float64, what was done, as the kernel `policies.act`
            writes it.
        rewards: (num_steps,) float64, the environment's own.
        episode_return: their sum.
        terminated: whether the task itself ended, in contrast to an episode that is cut.
    """

    observations: NDArray[np.float32]
    choices: NDArray[np.float64]
    rewards: NDArray[np.float64]
    episode_return: float
    terminated: bool


class Tracer(Protocol):
    """Runs and keeps episodes of one environment."""

    def run(self, actor: Actor, seed: int, moments: NDArray[np.float64]) -> Trace:
        """One episode from the start that ``seed`` gives; ``moments`` as in `stepped.run_episode`,
        or empty.
        """

    def close(self) -> None:
        """Give the environment back."""


def horizon_of(env: gymnasium.Env[Any, Any], max_episode_steps: int | None) -> int | None:
    """Most steps of an episode, or None where nothing limits it."""
    limits = [getattr(env.spec, "max_episode_steps", None), max_episode_steps]
    return min((limit for limit in limits if limit is not None), default=None)
