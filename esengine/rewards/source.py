"""What a search is paid by: a learned reward, the environment's own, a potential's shaping and
entropy, in any sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.policies import Actor
from esengine.policies.densities import log_densities
from esengine.rewards.network import LearnedReward
from esengine.simulators import Trace


@dataclass(frozen=True)
class RewardSource:
    """A weighted sum of rewards; every generator of policies is paid by one.

    Attributes:
        learned: a learned reward, or None.
        environment_weight: factor on the environment's own reward.
        potential: a function h of the state whose differences discount h(s') - h(s) are added, or
            None. Nothing follows the end of the task, so h is 0 there; a cut is no end, so h(s')
            counts (Ng, Harada, Russell 1999, "Policy invariance under reward transformations",
            ICML).
        discount: of the potential's differences.
        entropy_weight: factor on -log pi(a | s) of the acting policy, which must be stochastic.
    """

    learned: LearnedReward | None = None
    environment_weight: float = 0.0
    potential: LearnedReward | None = None
    discount: float = 1.0
    entropy_weight: float = 0.0

    @property
    def absorbing(self) -> float:
        """The reward of a step in the absorbing state, which follows the end of the task."""
        return 0.0 if self.learned is None else self.learned.absorbing

    def steps(self, trace: Trace, actor: Actor) -> NDArray[np.float64]:
        """The reward of each step of an episode, (num_steps,).

        Args:
            trace: the episode.
            actor: who acted.
        """
        states = trace.observations[:-1]
        rewards = (
            np.zeros(len(trace.choices))
            if self.learned is None
            else self.learned.steps(
                states, self.learned.spec.beside(trace.choices, trace.observations[1:])
            )
        )
        if self.environment_weight:
            rewards += self.environment_weight * trace.rewards
        if self.potential is not None:
            values = self.potential.steps(
                trace.observations, np.zeros((len(trace.observations), 0))
            )
            values[-1] = 0.0 if trace.terminated else values[-1]
            rewards += self.discount * values[1:] - values[:-1]
        if self.entropy_weight:
            rewards -= (
                self.entropy_weight
                * log_densities(actor, actor.parameters[None], states, trace.choices)[0]
            )

        return rewards

    def fitness(self, trace: Trace, actor: Actor, horizon: int) -> float:
        """What an episode is worth over the whole horizon, see `over_horizon`."""
        return over_horizon(self.steps(trace, actor), trace.terminated, horizon, self.absorbing)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What changes while it is learned."""
        parts = {"learned": self.learned, "potential": self.potential}
        return {
            f"{part}/{name}": array
            for part, own in parts.items()
            if own
            for name, array in own.arrays().items()
        }

    def with_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> RewardSource:
        """The same sum with other `arrays`."""
        parts: dict[str, Any] = {"learned": self.learned, "potential": self.potential}
        for part, own in parts.items():
            if own is not None:
                parts[part] = own.with_arrays(
                    {name: arrays[f"{part}/{name}"] for name in own.arrays()}
                )
        return replace(self, **parts)


def over_horizon(
    rewards: NDArray[np.float64], terminated: bool, horizon: int, absorbing: float
) -> float:
    """What an episode is worth over the whole horizon, so that neither living on nor dying pays by
    itself.

    After the end of the task every step left is one in the absorbing state (Kostrikov et al. 2019,
    arXiv 1809.02925). An environment that cuts an episode short of the horizon has not ended the
    task: the steps left are taken to be worth what those before were on average.

    Args:
        rewards: (num_steps,) of the episode.
        terminated: whether the task itself ended it.
        horizon: steps that an episode can have.
        absorbing: reward of a step in the absorbing state.
    """
    total, left = float(rewards.sum()), horizon - rewards.size
    if left <= 0:
        return total
    return total + left * absorbing if terminated else total * (horizon / rewards.size)


def over_end(
    rewards: NDArray[np.float64], terminated: bool, horizon: int, absorbing: float, discount: float
) -> NDArray[np.float64]:
    """An episode's rewards with what comes in the absorbing state added to the last, (num_steps,):
    for a policy gradient.

    Args:
        rewards, terminated, horizon, absorbing: see `over_horizon`.
        discount: gamma; what comes k steps later counts gamma^k.
    """
    left = horizon - rewards.size
    if not terminated or left <= 0:
        return rewards
    weight = left if discount == 1 else discount * (1 - discount**left) / (1 - discount)
    whole = rewards.copy()
    whole[-1] += weight * absorbing
    return whole
