"""The EPIC distance of rewards, which ignores shaping and scale.

Gleave, Dennis, Legg, Russell, Leike 2021, "Quantifying differences in reward functions" (arXiv
2006.13900, definitions 4.1 and 4.6). A reward is first made canonical, which removes constants and
the shaping of a potential. The distance of two canonical rewards is Pearson's: 0 if they differ
only by a positive factor, 1 if they are opposite, and about 0.71 if they are unrelated.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Reward = Callable[[Array, Array], Array]
"""Maps observations (num, obs_dim) and choices (num, num_choices) to rewards (num,)."""


def canonical(
    reward: Reward,
    observations: Array,
    choices: Array,
    next_observations: Array,
    anchors: tuple[Array, Array],
    discount: float,
) -> Array:
    """Return R(s, a) + E[gamma R(s', A) - R(s, A) - gamma R(S, A)] of some steps, (num_steps,).

    Args:
        reward: R, a reward of state and action.
        observations, choices, next_observations: the steps s, a, s'.
        anchors: observations S and choices A of the expectation, independent of each other and all
            with equal weight.
        discount: gamma of the potentials to remove.
    """
    states, actions = anchors

    def expected(rows: Array) -> Array:
        """Return E R(s, A) of each row."""
        pairs = np.repeat(rows, len(actions), axis=0), np.tile(actions, (len(rows), 1))
        return np.asarray(reward(*pairs).reshape(len(rows), len(actions)).mean(axis=1))

    return np.asarray(
        reward(observations, choices)
        + discount * expected(next_observations)
        - expected(observations)
        - discount * float(expected(states).mean())
    )


def pearson_distance(first: Array, second: Array) -> float:
    """Return sqrt((1 - correlation) / 2), between 0 and 1. Constant rewards count as unrelated."""
    spread = float(first.std() * second.std())
    if spread < 1e-12 * max(1.0, float(np.abs(first).max() * np.abs(second).max())):
        return float(np.sqrt(0.5)) if first.std() + second.std() > 1e-12 else 0.0
    correlation = float(np.mean((first - first.mean()) * (second - second.mean()))) / spread
    return float(np.sqrt(max(0.0, 1 - correlation) / 2))
