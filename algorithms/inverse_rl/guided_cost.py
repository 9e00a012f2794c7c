"""Guided cost learning: maximum-entropy inverse RL with a sampled partition function (Finn, Levine,
Abbeel 2016, ICML).

The model takes the expert's trajectories as draws from
p(tau) ~ p(s_0) prod P(s' | s, a) exp(R(tau)), and the reward ascends their log likelihood,
mean R - log Z. The gradient of log Z is the mean gradient of R under the model. It is estimated
from trajectories of the last generations' policies, each weighted by exp(R) over its density under
the policies that were sampled with it.

The demonstrations are not among these samples, as they are in the paper. Their density is unknown,
and a stand-in for it leaves them all the weight as soon as no policy would act as they do.

Over long episodes nearly all exact weights are zero. So the weights are raised to the largest power
at most 1 that keeps an effective share of the trajectories. Power 1 is exact. Power 0 takes the
policies for the model's own, which their reward, R - log pi, makes them. The squared rewards have a
weight in the loss (as in Ho, Ermon 2016, a convex penalty): without it the reward of steps that
policies never take would fall without end.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from esengine.algorithms.inverse_rl.discriminator import Draws, Examples
from esengine.algorithms.inverse_rl.gail import GAIL
from esengine.algorithms.inverse_rl.generators import Sampled
from esengine.algorithms.inverse_rl.partition_function import (
    Partition,
    estimate_partition,
    mixture_log_densities,
)
from esengine.algorithms.inverse_rl.settings import InverseRLSettings
from esengine.algorithms.strategy import State
from esengine.policies.densities import check_density, log_densities
from esengine.rewards.sampling import Steps
from esengine.seeding import derive_key, generator


class GuidedCost(GAIL):
    """The method. Its replay holds whole trajectories with their log densities.

    Args:
        settings, problem, generator, demonstrations, seed: see `GAIL`.
    """

    name: ClassVar[str] = "inverse-rl"
    settings: InverseRLSettings

    def __init__(self, *arguments: Any) -> None:
        self._log_q: list[NDArray[np.float64]] = []  # by generation, of each trajectory
        super().__init__(*arguments)
        check_density(self.generator.acting(self.problem.policy), self.name)
        self._seed = arguments[-1]

    def _take(self, sampled: Sampled) -> None:
        super()._take(sampled)

        # log q(tau) under the mixture of the policies that were sampled together
        steps = sampled.steps
        each = log_densities(sampled.actor, sampled.rows, steps.observations, steps.choices)
        each[:, steps.absorbing] = 0.0
        sums = np.array([np.bincount(steps.episodes, of_policy) for of_policy in each])
        kept = self.settings.replay_generations
        self._log_q = [*self._log_q, mixture_log_densities(sums)][-kept:]

    def _learn(self) -> dict[str, float]:
        steps = Steps.joined(self.replay)
        told = Examples.joined(self._told)
        found: dict[str, float] = {}
        for step in range(self.settings.reward_steps):
            # Weights of the trajectories under the present reward
            exact, returns = self._partition(steps, told)
            partition, tempering = self._tempered(exact, returns)
            if step == 0:
                found = self._interval(exact) | tempering
            weights = steps.weights * partition.weights[steps.episodes]
            generated = Draws(told, self.settings.reward_batch_size, weights)

            # Ascend mean R - log Z
            random = self.discriminator.random(self.generation, step)
            of_expert = self.expert.rows(random)
            of_generated = generated.rows(random)
            loss = self._loss(generated, of_expert, of_generated)
            loss = loss + self._roughness(generated, steps, of_generated)
            self.discriminator.descend(loss)
        return found

    def _partition(self, steps: Steps, told: Examples) -> tuple[Partition, NDArray[np.float64]]:
        """Return the exact estimate, and R of each trajectory, (num_trajectories,)."""
        with torch.no_grad():
            rewards = self.discriminator.network.logits(told.inputs).numpy()
        returns: NDArray[np.float64] = np.zeros(steps.begins.sum())
        np.add.at(returns, steps.episodes, rewards * steps.weights)
        return estimate_partition(returns, np.concatenate(self._log_q)), returns

    def _tempered(
        self, exact: Partition, returns: NDArray[np.float64]
    ) -> tuple[Partition, dict[str, float]]:
        """Return the estimate that the gradient uses, and how it differs from the exact one."""
        settings = self.settings
        found = {}
        chosen = exact
        if settings.most_promising < 1:
            kept = max(1, round(settings.most_promising * returns.size))
            chosen, found["log_z_bias"] = exact.most_promising(kept, returns)
        tempered, found["weight_power"] = chosen.tempered(settings.least_effective_share)
        return tempered, found

    def _interval(self, exact: Partition) -> dict[str, float]:
        """Return metrics of the exact estimate."""
        random = generator(derive_key(self._seed, "log Z", self.generation))
        low, high = exact.interval(random)
        return {
            "effective_share": exact.effective_sample_size / exact.weights.size,
            "log_z": exact.log_z,
            "log_z_low": low,
            "log_z_high": high,
        }

    def _loss(
        self, generated: Draws, of_expert: NDArray[np.int64], of_generated: NDArray[np.int64]
    ) -> torch.Tensor:
        """Return log Z - mean R of a step, by its gradient, plus the penalty of squared rewards."""
        network = self.discriminator.network
        absorbing = self.discriminator.absorbing_logit()
        loss = torch.zeros(())
        for draws, rows, sign in (
            (self.expert, of_expert, -1),
            (generated, of_generated, 1),
        ):
            rewards = network.logits(draws.examples.inputs[torch.tensor(rows)])
            loss = loss + sign * draws.mean(rewards, absorbing)
            squared = draws.mean(rewards**2, absorbing**2)
            loss = loss + self.settings.reward_penalty * squared
        return loss

    def _roughness(
        self, generated: Draws, steps: Steps, of_generated: NDArray[np.int64]
    ) -> torch.Tensor:
        """Return the weighted penalties of the reward's changes along trajectories."""
        settings = self.settings
        loss = torch.zeros(())
        if settings.smoothness:
            here, there, after = self._along(generated, steps, of_generated, 3)
            loss = loss + settings.smoothness * ((after - 2 * there + here) ** 2).mean()
        if settings.monotonicity:
            rows = np.arange(self.expert_steps.num_rows)
            here, there = self._along(self.expert, self.expert_steps, rows, 2)
            falls = (here - there - 1).clamp(min=0)
            loss = loss + settings.monotonicity * (falls**2).mean()
        return loss

    def _along(
        self, draws: Draws, steps: Steps, rows: NDArray[np.int64], count: int
    ) -> torch.Tensor:
        """Return the rewards of consecutive steps that begin at rows, (count, num_windows); those
        that an episode does not have are left out.
        """
        windows = rows + np.arange(count)[:, None]
        windows = windows[:, windows[-1] < steps.num_rows]
        episodes = steps.episodes[windows]
        whole = (episodes[0] == episodes[-1]) & ~steps.absorbing[windows].any(axis=0)
        windows = windows[:, whole]
        inputs = draws.examples.inputs[torch.tensor(windows.ravel())]
        return self.discriminator.network.logits(inputs).reshape(windows.shape)

    def state(self) -> State:
        state = super().state()
        if self._log_q:
            state["replay/log_q"] = np.concatenate(self._log_q)
        return state

    def restore(self, state: State) -> None:
        super().restore({name: array for name, array in state.items() if name != "replay/log_q"})
        self._log_q = []
        if "replay/log_q" in state:
            counts = [int(steps.begins.sum()) for steps in self.replay]
            self._log_q = np.split(state["replay/log_q"], np.cumsum(counts)[:-1])
