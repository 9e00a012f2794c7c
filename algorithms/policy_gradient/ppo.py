"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347), with whole episodes
recorded by the pool.

The policy gradient beside the evolution strategies, on the same policies, environments and ranks.
The actor is the flat policy vector that the strategies evolve; the critic, a network of the same
kind with one output, stays on the master. Episodes are recorded whole, so that they are functions
of the seed alone and the number of ranks changes no bit of the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.policy_gradient.advantages import RewardScale, advantages
from esengine.algorithms.strategy import State
from esengine.checks import at_least, finite, not_negative, positive, within
from esengine.demonstrations.recording import Acting, record
from esengine.demonstrations.trajectories import Trajectory
from esengine.environments.spaces import ActionSpec
from esengine.policies.network import Actor, PolicySpec, action_noise
from esengine.pool.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.rewards.episodes import rewards_of
from esengine.seeding import derive_key, generator

_FIRST_EPISODES = 8  # before the length of an episode is known
_MOST_REWARD = 10.0  # a scaled reward is clipped to +- this


@dataclass(frozen=True)
class PPOSettings:
    """Follow the clipped policy gradient; a generation is one round of recorded episodes and its
    updates.
    """

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {
        "generations": 200,
        "policy": "mlp",
        "hidden_sizes": (64, 64),
    }

    steps_per_round: int = 2048
    """Environment steps that a round records, to the next whole episode by the mean length of the
    round before.
    """
    epochs: int = 10
    """Passes over a round's steps."""
    batch_size: int = 64
    """Steps of a gradient step."""
    learning_rate: float = 3e-4
    """Step size of Adam, for actor and critic."""
    discount: float = 0.99
    """Factor on rewards for every step that they come later."""
    trace_decay: float = 0.95
    """Lambda of the generalised advantage estimate: 0 trusts the critic, 1 the returns."""
    clip_range: float = 0.2
    """How far an action's probability ratio may move before the gradient ignores it."""
    entropy_weight: float = 0.0
    """Weight of the entropy of the policy in its objective."""
    value_weight: float = 0.5
    """Weight of the critic's squared error."""
    most_gradient: float = 0.5
    """Norm that a longer gradient is cut to."""
    target_kl: float | None = None
    """End a round's updates when the policy has moved 1.5 times this far, in nats; default never.
    """
    initial_log_std: float = -0.5
    """Log standard deviation of box actions at the start, in halves of the action's range."""

    def check(self) -> None:
        """Raises UserError for settings that no run can have."""
        at_least(self, 1, "steps_per_round", "epochs", "batch_size")
        positive(self, "learning_rate", "clip_range", "most_gradient")
        positive(self, "target_kl", way_out="0.01 is usual")
        within(self, 0, 1, "discount", "trace_decay")
        not_negative(self, "entropy_weight", "value_weight")
        finite(self, "initial_log_std")


@dataclass(frozen=True)
class _Batch:
    """A round's steps as tensors."""

    observations: Any  # (num_steps, observation_dim) float32
    targets: Any  # what was done, in the policy's units and before it was clipped
    log_densities: Any  # (num_steps,) of that, under the policy that acted
    advantages: Any  # (num_steps,)
    returns: Any  # (num_steps,) what the critic is to tell

    def __len__(self) -> int:
        return len(self.observations)

    def rows(self, rows: Any) -> _Batch:
        return _Batch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class PPO:
    """Rounds: record episodes with actions drawn from the policy, estimate advantages, take clipped
    gradient steps.

    Args:
        settings: checked settings.
        problem: of the pool; it pays the episodes, and its observation statistics grow with every
            round.
        seed: the run's seed.
        initial: (num_parameters,) where the policy starts, or None.

    Attributes:
        generation: completed rounds.
        trajectories: the episodes of the last round.
    """

    seconds: ClassVar[dict[str, float]] = {}
    varying_state: ClassVar[tuple[str, ...]] = ("adam/",)  # arrays that a state may have or lack

    def __init__(
        self,
        settings: PPOSettings,
        problem: EnvironmentProblem,
        seed: int,
        initial: NDArray[np.float32] | None = None,
    ) -> None:
        import torch

        from esengine.policies.torch_network import TorchPolicy

        self.settings, self.problem, self.seed = settings, problem, seed
        self.generation = 0
        self.trajectories: list[Trajectory] = []
        spec, critic = problem.policy, critic_spec(problem.policy)
        drawn = replace(spec, sampled=True)
        row = spec.initial_parameters(seed) if initial is None else initial
        if initial is None or not spec.sampled:
            means = row[: replace(spec, sampled=False).num_parameters]
            row = np.concatenate(
                [means, np.full(drawn.num_log_stds, settings.initial_log_std, np.float32)]
            )
        self._actor = TorchPolicy(drawn, row, *problem.scaling())
        self._critic = TorchPolicy(
            critic, critic.initial_parameters(derive_key(seed, "critic")), *problem.scaling()
        )
        leaves = [self._actor.flat, self._critic.flat]
        self._adam = torch.optim.Adam(leaves, lr=settings.learning_rate, eps=1e-5, foreach=False)
        self._scale = RewardScale(settings.discount)
        self._mean_steps = 0.0  # of an episode of the last round
        self._metrics: dict[str, float] = {}

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """One round; returns its steps and episodes.

        Args:
            pool: of the problem.
            finished: recorded episodes of this round that there are already; filled with those that
                arrive.

        Raises:
            Interrupted: a signal; ``finished`` holds what was recorded, all else is as it was
                before the round.
            WorkerError: the environment raised.
        """
        number, episodes, actor = self.generation + 1, self._episodes(), self.actor()
        log_stds = actor.parameters[len(actor.parameters) - actor.spec.num_log_stds :]
        acting = Acting(mixing=0.0, sampled=True, log_stds=log_stds)
        recorded = record(pool, self.parameters(), acting, episodes, self.seed, number, finished)
        self.trajectories = [one.trajectory for one in recorded]
        steps = sum(one.num_steps for one in self.trajectories)
        self._update(self._batch(actor), number)
        self._observe()
        self._mean_steps = steps / episodes
        self._metrics["return_recorded"] = float(
            np.mean([one.episode_return for one in self.trajectories])
        )
        self.generation = number
        return steps, episodes

    def actor(self) -> Actor:
        """The policy that acts in the next round: its actions are drawn, and it scales as the
        problem does now.
        """
        for network in (self._actor, self._critic):
            network.rescale(*self.problem.scaling())
        return Actor(self._actor.spec, self._actor.parameters(), *self.problem.scaling())

    def _episodes(self) -> int:
        if not self._mean_steps:
            return _FIRST_EPISODES
        return max(1, math.ceil(self.settings.steps_per_round / self._mean_steps))

    def _batch(self, actor: Actor) -> _Batch:
        """The round's steps with their advantages, under the networks that acted."""
        import torch

        settings = self.settings
        rewards = [
            rewards_of(self.problem, one, actor, settings.discount) for one in self.trajectories
        ]
        for of_episode in rewards:
            self._scale.add(of_episode)
        estimates, returns, observations, targets = [], [], [], []
        for trajectory, of_episode in zip(self.trajectories, rewards, strict=True):
            seen = torch.tensor(trajectory.observations.astype(np.float32))
            with torch.no_grad():
                values = self._critic.outputs(seen)[:, 0].numpy().astype(np.float64)
            scaled = np.clip(self._scale(of_episode), -_MOST_REWARD, _MOST_REWARD)
            estimate = advantages(
                scaled, values, trajectory.terminated, settings.discount, settings.trace_decay
            )
            estimates.append(estimate)
            returns.append(estimate + values[:-1])
            observations.append(seen[:-1])
            targets.append(self._done(trajectory, seen[:-1]))
        seen, done = torch.cat(observations), torch.cat(targets)
        with torch.no_grad():
            log_densities = self._actor.log_densities(seen, done)
        known = np.concatenate(returns)
        unexplained = np.concatenate(estimates).var() / max(known.var(), 1e-12)
        self._metrics = {"explained_variance": float(1 - unexplained)}
        tensors = (
            torch.tensor(np.concatenate(estimates), dtype=torch.float32),
            torch.tensor(known, dtype=torch.float32),
        )
        return _Batch(seen, done, log_densities, *tensors)

    def _done(self, trajectory: Trajectory, observations: Any) -> Any:
        """What the policy drew, in its units, before the bounds of the space cut it: the trajectory
        has what was left.
        """
        import torch

        from esengine.policies.torch_network import encode

        action = self.problem.policy.action
        if action.kind != "box":
            return encode(action, trajectory.actions)
        assert trajectory.seed is not None
        noise = action_noise(np.uint64(trajectory.seed), trajectory.num_steps, action.num_outputs)
        with torch.no_grad():
            return self._actor.outputs(observations) + self._actor.log_stds().exp() * torch.tensor(
                noise.astype(np.float32)
            )

    def _update(self, batch: _Batch, number: int) -> None:
        """Clipped gradient steps over a round's batch, in orders drawn by seed."""
        import torch

        settings, sums, count = self.settings, np.zeros(4), 0
        for epoch in range(settings.epochs):
            order = torch.tensor(
                generator(derive_key(self.seed, "minibatches", number), epoch).permutation(
                    len(batch)
                )
            )
            for rows in torch.split(order, settings.batch_size):
                loss, told = self._loss(batch.rows(rows))
                if settings.target_kl is not None and told[2] > 1.5 * settings.target_kl:
                    break
                self._adam.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(
                    [self._actor.flat, self._critic.flat], settings.most_gradient, foreach=False
                )
                self._adam.step()
                sums, count = sums + told, count + 1
            else:
                continue
            break
        names = ("policy_loss", "value_loss", "kl", "clip_share")
        self._metrics |= dict(zip(names, (sums / max(count, 1)).tolist(), strict=True)) | {
            "gradient_steps": count
        }

    def _loss(self, batch: _Batch) -> tuple[Any, NDArray[np.float64]]:
        """The loss of some steps; and its policy part, its value part, the distance moved in nats,
        the share clipped.
        """
        settings = self.settings
        weights = batch.advantages
        if len(batch) > 1:
            weights = (weights - weights.mean()) / (weights.std() + 1e-8)
        log_ratios = (
            self._actor.log_densities(batch.observations, batch.targets) - batch.log_densities
        )
        ratios = log_ratios.exp()
        clipped = ratios.clamp(1 - settings.clip_range, 1 + settings.clip_range)
        policy_loss = -(weights * ratios).minimum(weights * clipped).mean()
        value_loss = ((self._critic.outputs(batch.observations)[:, 0] - batch.returns) ** 2).mean()
        loss = policy_loss + settings.value_weight * value_loss
        if settings.entropy_weight:
            loss = loss - settings.entropy_weight * self._actor.entropies(batch.observations).mean()
        moved = (
            ratios.detach() - 1 - log_ratios.detach()
        ).mean()  # an unbiased, positive estimate of the KL divergence
        told = (
            policy_loss.detach(),
            value_loss.detach(),
            moved,
            (ratios.detach() != clipped.detach()).float().mean(),
        )
        return loss, np.array([float(number) for number in told])

    def _observe(self) -> None:
        """Add the round's observations to the statistics that scale them from the next round on."""
        if not self.problem.observes:
            return
        seen = np.concatenate([one.observations[:-1] for one in self.trajectories])
        mean = seen.mean(axis=0)
        self.problem.statistics.merge(
            np.concatenate([[len(seen)], mean, ((seen - mean) ** 2).sum(axis=0)])
        )

    def should_stop(self) -> None:
        """Nothing but the run's budgets and target ends it."""

    def parameters(self) -> NDArray[np.float32]:
        """The newest policy, (num_parameters,) float32: its box actions are the means, unless the
        problem's are drawn.
        """
        return self._actor.parameters()[: self.problem.policy.num_parameters]

    def metrics(self) -> dict[str, float]:
        if not self._actor.spec.num_log_stds:
            return self._metrics
        return self._metrics | {"log_std": float(self._actor.log_stds().detach().mean())}

    def state(self) -> State:
        state = {
            "generation": np.array(self.generation),
            "actor": self._actor.parameters(),
            "critic": self._critic.parameters(),
            "reward_scale": self._scale.pack(),
            "mean_steps": np.array(self._mean_steps),
        }
        for name, network in (("actor", self._actor), ("critic", self._critic)):
            moments = self._adam.state.get(network.flat, {})
            state |= {f"adam/{name}/{key}": moments[key].numpy().copy() for key in moments}
        return state

    def restore(self, state: State) -> None:
        import torch

        self.generation, self._mean_steps = int(state["generation"]), float(state["mean_steps"])
        self._scale.unpack(state["reward_scale"])
        self._adam.state.clear()
        for name, network in (("actor", self._actor), ("critic", self._critic)):
            if state[name].shape != tuple(network.flat.shape):
                raise ValueError(
                    f"the {name} must have {len(network.flat)} parameters, got {state[name].shape}"
                )
            with torch.no_grad():
                network.flat.copy_(torch.tensor(state[name]))
            prefix = f"adam/{name}/"
            moments = {
                key.removeprefix(prefix): torch.tensor(array)
                for key, array in state.items()
                if key.startswith(prefix)
            }
            if moments:
                self._adam.state[network.flat] = moments


def critic_spec(policy: PolicySpec) -> PolicySpec:
    """The network that values observations: the policy's layers, or two of 64 for a linear one, and
    one output.
    """
    number = ActionSpec("box", (1,), (-math.inf,), (math.inf,), (1,))
    return PolicySpec(policy.observation_dim, number, policy.hidden_sizes or (64, 64))
