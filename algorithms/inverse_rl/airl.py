"""Adversarial inverse reinforcement learning (Fu, Luo, Levine 2018, arXiv 1710.11248) with any
generator of policies.

As `gail`, but the logit is f(s, a, s') - log pi(a | s) with f = g + gamma h(s') - h(s). At the
optimum f is the expert's advantage. If g depends on the state alone, it is then the reward up to a
constant (their theorem 5.1, for deterministic dynamics), which is valid under other dynamics; the
potential h takes the part that only shapes the reward. Without h, a g of state and action is the
advantage under the dynamics that it was learned in. pi is the mixture of the policies that
generated the steps. Its density is known exactly. Policies must be stochastic.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.inverse_rl.gail import GAIL
from esengine.algorithms.inverse_rl.generators import Sampled
from esengine.algorithms.inverse_rl.partition_function import mixture_log_densities
from esengine.algorithms.strategy import State
from esengine.policies.densities import check_density, log_densities
from esengine.policies.network import Actor
from esengine.rewards.sampling import Steps


class AIRL(GAIL):
    """The method; see `GAIL`. The policies of the replay are part of its state."""

    name: ClassVar[str] = "airl"

    def __init__(self, *arguments: Any) -> None:
        self._policies: list[Sampled] = []
        super().__init__(*arguments)
        self._acting = self.generator.acting(self.problem.policy)
        check_density(self._acting, self.name)

    def _take(self, sampled: Sampled) -> None:
        super()._take(sampled)
        self._policies = [*self._policies, sampled][-self.settings.replay_generations :]

    def _learn(self) -> dict[str, float]:
        self._told_steps = Steps.joined(self.replay)
        return super()._learn()

    def _offsets(
        self, expert: NDArray[np.int64], generated: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return log pi(a | s) of the batch's steps, (num_steps,). In the absorbing state, where
        there is no action, the density is 1.
        """
        batch = Steps.joined([self.expert_steps.at(expert), self._told_steps.at(generated)])
        logs = [
            log_densities(one.actor, one.rows, batch.observations, batch.choices)
            for one in self._policies
        ]
        return self._mixed(logs)

    def _mixed(self, logs: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return log densities under the mixture of the replay's policies, (num_densities,).

        The share of a policy is its share of the steps.

        Args:
            logs: log densities under each generation's policies, (num_policies, num_densities).
        """
        shares = [
            np.full(len(own), met.weights[~met.absorbing].sum() / max(1, len(own)))
            for own, met in zip(logs, self.replay, strict=True)
        ]
        return mixture_log_densities(np.concatenate(logs), np.concatenate(shares))

    def state(self) -> State:
        state = super().state()
        if self._policies:
            state["replay/rows"] = np.concatenate([one.rows for one in self._policies])
            state["replay/counts"] = np.array([len(one.rows) for one in self._policies])
            state["replay/means"] = np.array([one.actor.observation_mean for one in self._policies])
            state["replay/inverse_stds"] = np.array(
                [one.actor.observation_inverse_std for one in self._policies]
            )
        return state

    def restore(self, state: State) -> None:
        names = [f"replay/{name}" for name in ("rows", "counts", "means", "inverse_stds")]
        super().restore({name: array for name, array in state.items() if name not in names})
        self._policies = []
        if names[0] not in state:
            return

        rows, counts, means, inverse_stds = (state[name] for name in names)
        nothing = np.zeros(self._acting.num_parameters, np.float32)
        parts = np.split(rows, np.cumsum(counts)[:-1])
        generations = zip(parts, self.replay, means, inverse_stds, strict=True)
        for own, steps, mean, inverse_std in generations:
            actor = Actor(self._acting, nothing, mean, inverse_std)
            self._policies.append(Sampled(own, actor, steps))
