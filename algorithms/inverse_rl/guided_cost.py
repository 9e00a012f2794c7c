"""Guided cost learning: maximum-entropy inverse RL with a sampled partition function (Finn, Levine,
Abbeel 2016, ICML).

The model takes the expert's trajectories as draws from
p(tau) ~ p(s_0) prod P(s' | s, a) exp(R(tau)), and the reward ascends their log likelihood,
mean R - log Z. Z is estimated from trajectories of sampled members of the last generations. Each
is weighted by exp(R) over its density under the mixture of these members' policies. The
demonstrations join the samples, as the paper requires. Their unknown density is replaced by the
model's own, exp(R) / Z (Finn et al. 2016, arXiv 1611.03852).

The policies' reward is R - log pi, so that their trajectories approach draws from the model with
equal weights. Until then an estimate of Z may rest on a few trajectories: while the effective
sample size is small, the reward waits.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from esengine.algorithms.inverse_rl.airl import AIRL
from esengine.algorithms.inverse_rl.expert_steps import over_horizon
from esengine.algorithms.inverse_rl.generators import Sampled
from esengine.algorithms.inverse_rl.partition_function import estimate_partition
from esengine.algorithms.inverse_rl.settings import InverseRLSettings
from esengine.policies.densities import log_densities
from esengine.rewards.sampling import Steps
from esengine.seeding import derive_key, generator

_FIXED_POINT_STEPS = 50


class GuidedCost(AIRL):
    """The method. Its state is that of `AIRL`; the replay holds whole trajectories.

    Args:
        settings, problem, generator, demonstrations, seed: see `GAIL`.
    """

    name: ClassVar[str] = "inverse-rl"
    settings: InverseRLSettings

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        _, _, _, demonstrations, self._seed = arguments
        horizon = self.rewarded.horizon
        whole = [
            _padded(over_horizon(one, demonstrations, horizon), horizon)
            for one in demonstrations.trajectories
        ]
        self._demonstrated = Steps.joined(whole)
        self._num_demonstrations = len(whole)

    def _take(self, sampled: Sampled) -> None:
        self._remember(sampled.steps.flat())
        self._policies = [*self._policies, sampled][-self.settings.replay_generations :]

    def _learn(self) -> dict[str, float]:
        settings = self.settings
        count = self._num_demonstrations

        # All trajectories, demonstrations first; NaN marks the steps after a cut
        steps = Steps.joined([self._demonstrated, *self.replay])
        known = torch.tensor(np.isfinite(steps.observations[:, 0]))
        steps = Steps(
            np.nan_to_num(steps.observations), np.nan_to_num(steps.next_observations), *steps[2:]
        )
        steps = steps._replace(choices=np.nan_to_num(steps.choices))
        inputs = self.discriminator.examples(steps).inputs
        log_q = self._log_densities(steps, known.numpy())

        # log Z from the generated trajectories
        random = generator(derive_key(self._seed, "log Z", self.generation))
        with torch.no_grad():
            returns = self._step_rewards(inputs, known).sum(dim=1).numpy().astype(np.float64)
        generated = estimate_partition(returns[count:], log_q[count:])
        share = generated.effective_sample_size / generated.weights.size
        low, high = generated.interval(random)
        found = {
            "effective_share": share,
            "log_z": generated.log_z,
            "log_z_low": low,
            "log_z_high": high,
        }
        if settings.most_promising < 1:
            kept = max(1, round(settings.most_promising * generated.weights.size))
            found["log_z_bias"] = generated.most_promising(kept, returns[count:])[1]
        found["waits"] = float(share < settings.least_effective_share)
        if found["waits"]:
            return found

        # Gradient steps on log Z - mean R and the regularisers
        for _ in range(settings.reward_steps):
            rewards = self._step_rewards(inputs, known)
            own = rewards.sum(dim=1)
            weights = self._weights(own.detach().numpy().astype(np.float64), log_q)
            log_z = (torch.tensor(weights.astype(np.float32)) * own).sum()  # by its gradient
            loss = log_z - own[:count].mean()
            if settings.smoothness:
                second = rewards[:, 2:] - 2 * rewards[:, 1:-1] + rewards[:, :-2]
                loss = loss + settings.smoothness * (second**2).sum(dim=1).mean()
            if settings.monotonicity:
                falls = (rewards[:count, :-1] - rewards[:count, 1:] - 1).clamp(min=0)
                loss = loss + settings.monotonicity * (falls**2).sum(dim=1).mean()
            self.discriminator.descend(loss)
        found["return_margin"] = float(returns[:count].mean() - returns[count:].mean())
        return found

    def _weights(
        self, returns: NDArray[np.float64], log_q: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the weights of all trajectories, (num_trajectories,), with sum 1.

        The gradient of log Z is the weighted mean of dR. A trajectory is a draw from the policies
        or, with the share of the demonstrations, from the model exp(R) / Z. Z is the fixed point of
        this mixture.
        """
        share = self._num_demonstrations / returns.size
        partition = estimate_partition(returns, log_q)
        log_z = partition.log_z
        for _ in range(_FIXED_POINT_STEPS):
            density = np.logaddexp(np.log1p(-share) + log_q, np.log(share) + returns - log_z)
            partition = estimate_partition(returns, density)
            log_z = partition.log_z
        if self.settings.most_promising < 1:
            kept = max(1, round(self.settings.most_promising * returns.size))
            partition, _ = partition.most_promising(kept, returns)
        return partition.weights

    def _step_rewards(self, inputs: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return the rewards, (num_trajectories, horizon), which are 0 after a cut."""
        rewards = self.discriminator.network.logits(inputs) * known
        return rewards.reshape(-1, self.rewarded.horizon)

    def _log_densities(self, steps: Steps, known: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return log q(tau) of all trajectories under the mixture of the replay's policies,
        (num_trajectories,).
        """
        acted = (known & ~steps.absorbing).reshape(-1, self.rewarded.horizon)
        logs = []
        for one in self._policies:
            each = log_densities(one.actor, one.rows, steps.observations, steps.choices)
            logs.append(np.where(acted, each.reshape(len(one.rows), *acted.shape), 0.0).sum(axis=2))
        return self._mixed(logs)


def _padded(steps: Steps, horizon: int) -> Steps:
    """Return a demonstration of the whole horizon; NaN observations mark the steps after a cut."""
    left = horizon - len(steps.absorbing)
    if not left:
        return steps
    here = np.full((left, steps.observations.shape[1]), np.nan, np.float32)
    choices = np.zeros((left, steps.choices.shape[1]))
    nothing = np.zeros(left, bool)
    return Steps.joined([steps, Steps(here, here, choices, nothing, nothing)])
