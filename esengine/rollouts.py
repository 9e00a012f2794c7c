"""Running episodes of a gymnasium environment with a compiled policy."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.normalizer import accumulate
from esengine.policies import Actor
from esengine.spaces import ObservationSpec


class Episode(NamedTuple):
    """What one episode gave."""

    episode_return: float
    num_steps: int


def run_episode(
    env: gymnasium.Env[Any, Any],
    observations: ObservationSpec,
    actor: Actor,
    seed: int,
    moments: NDArray[np.float64] | None = None,
    max_steps: int | None = None,
) -> Episode:
    """Run one episode from the start that ``seed`` gives.

    Args:
        env: reset and stepped; left as the episode ends.
        observations: how the environment's observations become flat vectors.
        actor: the policy; a sampled one draws from the stream ``seed``.
        seed: of `env.reset` and of the sampled actions.
        moments: packed observation moments that every acted-on observation is added to, or None.
        max_steps: cut the episode after so many steps, or None to leave that to the environment.
    """
    space, direct = env.observation_space, observations.direct
    step, act = env.step, actor.act
    observation, _ = env.reset(seed=seed)
    episode_return, num_steps = 0.0, 0
    while True:
        flat = np.asarray(observation, np.float32).ravel() if direct else observations.flat(space, observation)
        if flat.size != observations.dim:
            raise ValueError(f"an observation must have {observations.dim} numbers as {space} declares, got {flat.size}")
        if moments is not None:
            accumulate(moments, flat)
        observation, reward, terminated, truncated, _ = step(act(flat, seed, num_steps))
        episode_return += float(reward)
        num_steps += 1
        if terminated or truncated or num_steps == max_steps:
            return Episode(episode_return, num_steps)
