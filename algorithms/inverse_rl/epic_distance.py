"""How far rewards are apart, whatever shapes and scales them: the EPIC distance.

Gleave, Dennis, Legg, Russell, Leike 2021, "Quantifying differences in reward functions" (arXiv
2006.13900, definitions 4.1 and 4.6). A reward is first made canonical, so that constants and what a
potential adds in the state itself drop out; the distance is Pearson's: 0 for rewards that differ by
a positive factor alone, 1 for opposite ones, and about 0.71 for unrelated ones.
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
    """R(s, a) + E[gamma R(s', A) - R(s, A) - gamma R(S, A)] of some steps, (num_steps,), for a
    reward of state and action.

    Args:
        reward: R.
        observations, choices, next_observations: the steps s, a, s'.
        anchors: observations and choices that S and A are drawn from, in equal shares and
            independently of each other.
        discount: gamma, of the potentials that are to drop out.
    """
    states, actions = anchors

    def expected(rows: Array) -> Array:
        """E R(s, A) of each row."""
        pairs = np.repeat(rows, len(actions), axis=0), np.tile(actions, (len(rows), 1))
        return np.asarray(reward(*pairs).reshape(len(rows), len(actions)).mean(axis=1))

    everywhere = float(expected(states).mean())
    own = reward(observations, choices)
    return np.asarray(
        own
        + discount * expected(next_observations)
        - expected(observations)
        - discount * everywhere
    )


def pearson_distance(first: Array, second: Array) -> float:
    """sqrt((1 - correlation) / 2), between 0 and 1; unrelated where one of them is constant."""
    spread = float(first.std() * second.std())
    if spread < 1e-12 * max(1.0, float(np.abs(first).max() * np.abs(second).max())):
        return float(np.sqrt(0.5)) if first.std() + second.std() > 1e-12 else 0.0
    correlation = float(np.mean((first - first.mean()) * (second - second.mean()))) / spread
    return float(np.sqrt(max(0.0, 1 - correlation) / 2))
