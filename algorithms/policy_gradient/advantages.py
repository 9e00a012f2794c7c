"""Generalised advantage estimates of episodes (Schulman et al. 2016, arXiv 1506.02438), and a
running scale of their rewards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.policies.normalizer import RunningStatistics


def advantages(
    rewards: NDArray[np.float64],
    values: NDArray[np.float64],
    terminated: bool,
    discount: float,
    trace_decay: float,
) -> NDArray[np.float64]:
    """Return A_t = sum_k (gamma lambda)^k delta_{t+k} of one episode, with
    delta_t = r_t + gamma V(s_{t+1}) - V(s_t).

    The value after a terminated episode is 0; after a truncated one it is that of the last
    observation.

    Args:
        rewards: (num_steps,).
        values: (num_steps + 1,) of all observations, the last one included.
        terminated: whether the episode terminated.
        discount: gamma.
        trace_decay: lambda.

    Returns:
        (num_steps,) float64.
    """
    following = values[1:].copy()
    if terminated:
        following[-1] = 0.0
    deltas = rewards + discount * following - values[:-1]

    estimates = np.empty(len(deltas))
    running = 0.0
    for step in range(len(deltas) - 1, -1, -1):
        running = deltas[step] + discount * trace_decay * running
        estimates[step] = running
    return estimates


class RewardScale:
    """A function that divides rewards by the running standard deviation of their discounted sum.

    It does not shift their mean. The value function then learns numbers of order one for any task
    (Engstrom et al. 2020, arXiv 2005.12729).

    Args:
        discount: gamma of the sum.
    """

    def __init__(self, discount: float) -> None:
        self._discount = discount
        self._statistics = RunningStatistics.empty(1)

    def add(self, rewards: NDArray[np.float64]) -> None:
        """Add an episode's rewards, (num_steps,), to the statistics."""
        sums = np.empty(len(rewards))
        running = 0.0
        for step, reward in enumerate(rewards):
            running = self._discount * running + reward
            sums[step] = running

        mean = sums.mean()
        self._statistics.merge(np.array([len(sums), mean, ((sums - mean) ** 2).sum()]))

    def __call__(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the scaled rewards."""
        inverse_std = self._statistics.scale()[1].astype(np.float64)[0]
        return rewards * (inverse_std if inverse_std > 0 else 1.0)

    def pack(self) -> NDArray[np.float64]:
        """Count, mean and sum of squared deviations, (3,) float64."""
        return self._statistics.pack()

    def unpack(self, packed: NDArray[np.float64]) -> None:
        """Restore what `pack` returned. Raises ValueError for another shape."""
        if packed.shape != (3,):
            raise ValueError(f"a reward scale has 3 numbers, got {packed.shape}")
        self._statistics = RunningStatistics.empty(1)
        self._statistics.merge(packed)
