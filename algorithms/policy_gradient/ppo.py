"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347).

PPO uses the same policies, environments and ranks as the evolution strategies. The actor is the
flat policy vector that the strategies evolve. The critic, a network of the same kind with one
output, stays on the master. The ranks record whole episodes, which depend only on the seed, so that
the number of ranks does not change the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.adam_state import adam_state, restore_adam
from esengine.algorithms.policy_gradient.advantages import RewardScale, advantages
from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import State
from esengine.checks import at_least, finite, not_negative, positive, within
from esengine.demonstrations.recording import Acting
from esengine.demonstrations.rounds import record_steps
from esengine.demonstrations.trajectories import Trajectory
from esengine.environments.spaces import ActionSpec
from esengine.policies.heads import action_noise
from esengine.policies.network import Actor, PolicySpec, check_memoryless
from esengine.pool.pool import Pool
from esengine.problems import EnvironmentProblem
from esengine.rewards.episodes import rewards_of
from esengine.seeding import derive_key, generator
from esengine.simulators.traces import horizon_of

_MOST_REWARD = 10.0  # bound on the absolute value of scaled rewards


@dataclass(frozen=True)
class PPOSettings:
    """Follow the clipped policy gradient; a generation records a round of episodes and learns from
    it.
    """

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {
        "generations": 200,
        "policy": "mlp",
        "hidden_sizes": (64, 64),
    }

    steps_per_round: int = 2048
    """Environment steps per round, rounded up to whole episodes."""
    epochs: int = 10
    """Number of passes over the steps of a round."""
    batch_size: int = 64
    """Number of steps per gradient step."""
    learning_rate: float = 3e-4
    """Step size of Adam for actor and critic."""
    discount: float = 0.99
    """Discount factor of rewards (gamma)."""
    trace_decay: float = 0.95
    """Lambda of the generalised advantage estimate: 0 uses only the critic, 1 only the returns."""
    clip_range: float = 0.2
    """Change of an action's probability ratio beyond which its gradient is zero."""
    entropy_weight: float = 0.0
    """Weight of the policy's entropy in the objective."""
    value_weight: float = 0.5
    """Weight of the critic's squared error."""
    most_gradient: float = 0.5
    """Largest norm of the gradient; longer gradients are scaled down."""
    target_kl: float | None = None
    """End a round's updates when the policy's divergence exceeds 1.5 times this number of nats;
    default never.
    """
    initial_log_std: float = -0.5
    """Initial log standard deviation of box actions, relative to half the action's range."""

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
    """The steps of a round as tensors."""

    observations: Any  # (num_steps, observation_dim) float32
    targets: Any  # actions in the policy's units, before they were clipped
    log_densities: Any  # (num_steps,) of these actions under the policy that acted
    advantages: Any  # (num_steps,)
    returns: Any  # (num_steps,) targets of the critic

    def __len__(self) -> int:
        return len(self.observations)

    def rows(self, rows: Any) -> _Batch:
        return _Batch(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


class PPO(SavedState):
    """The learner. A round records episodes with actions drawn from the policy, estimates
    advantages and takes clipped gradient steps.

    Args:
        settings: checked settings.
        problem: the pool's problem; it rewards the episodes, and every round adds to its
            observation statistics.
        seed: the run's seed.
        initial: (num_parameters,) the first policy, or None for a random one.

    Attributes:
        generation: number of completed rounds.
        trajectories: the episodes of the last round.
    """

    seconds: ClassVar[dict[str, float]] = {}
    saved = ("generation",)
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

        self.settings = settings
        self.problem = problem
        self.seed = seed
        self.generation = 0
        self.trajectories: list[Trajectory] = []

        # Actor, whose actions are always drawn
        spec = problem.policy
        check_memoryless(spec, "ppo")
        drawn = replace(spec, sampled=True)
        row = spec.initial_parameters(seed) if initial is None else initial
        if initial is None or not spec.sampled:
            means = row[: replace(spec, sampled=False).num_parameters]
            log_stds = np.full(drawn.num_log_stds, settings.initial_log_std, np.float32)
            row = np.concatenate([means, log_stds])
        self._actor = TorchPolicy(drawn, row, *problem.scaling())

        # Critic
        critic = critic_spec(spec)
        first = critic.initial_parameters(derive_key(seed, "critic"))
        self._critic = TorchPolicy(critic, first, *problem.scaling())

        self._networks = {"actor": self._actor, "critic": self._critic}
        leaves = [self._actor.flat, self._critic.flat]
        self._adam = torch.optim.Adam(leaves, lr=settings.learning_rate, eps=1e-5, foreach=False)
        self._scale = RewardScale(settings.discount)
        self._metrics: dict[str, float] = {}
        with closing(problem.environment.make()) as env:
            self._longest = horizon_of(env, problem.max_episode_steps)

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """Run one round and return its numbers of steps and episodes.

        Args:
            pool: the pool of the problem.
            finished: episodes of this round that were recorded before; new ones are added.

        Raises:
            Interrupted: a signal arrived; ``finished`` has the recorded episodes, and all else is
                as before the round.
            WorkerError: the environment raised.
        """
        number = self.generation + 1
        actor = self.actor()
        log_stds = actor.parameters[len(actor.parameters) - actor.spec.num_log_stds :]
        acting = Acting(mixing=0.0, sampled=True, log_stds=log_stds)

        # Record
        self.trajectories = record_steps(
            pool,
            self.parameters(),
            acting,
            self.settings.steps_per_round,
            self._longest,
            self.seed,
            number,
            finished,
        )
        steps = sum(one.num_steps for one in self.trajectories)

        # Learn
        self._update(self._batch(actor), number)
        self._observe()
        returns = [one.episode_return for one in self.trajectories]
        self._metrics["return_recorded"] = float(np.mean(returns))
        self.generation = number
        return steps, len(self.trajectories)

    def actor(self) -> Actor:
        """Return the policy that acts in the next round, and give both networks the problem's
        current scaling. Its actions are drawn.
        """
        for network in self._networks.values():
            network.rescale(*self.problem.scaling())
        return Actor(self._actor.spec, self._actor.parameters(), *self.problem.scaling())

    def _batch(self, actor: Actor) -> _Batch:
        """Return the round's steps with their advantages, under the networks that acted."""
        import torch

        settings = self.settings
        rewards = [
            rewards_of(self.problem, one, actor, settings.discount) for one in self.trajectories
        ]
        for of_episode in rewards:
            self._scale.add(of_episode)

        # Advantages and the critic's targets, episode by episode
        parts = []
        for trajectory, of_episode in zip(self.trajectories, rewards, strict=True):
            seen = torch.tensor(trajectory.observations.astype(np.float32))
            with torch.no_grad():
                values = self._critic.outputs(seen)[:, 0].numpy().astype(np.float64)
            scaled = np.clip(self._scale(of_episode), -_MOST_REWARD, _MOST_REWARD)
            estimate = advantages(
                scaled, values, trajectory.terminated, settings.discount, settings.trace_decay
            )
            done = self._done(trajectory, seen[:-1])
            parts.append((seen[:-1], done, estimate, estimate + values[:-1]))

        # All steps together
        observations, targets, estimates, returns = zip(*parts, strict=True)
        all_seen = torch.cat(observations)
        all_done = torch.cat(targets)
        all_estimates = np.concatenate(estimates)
        all_returns = np.concatenate(returns)
        unexplained = all_estimates.var() / max(all_returns.var(), 1e-12)
        self._metrics = {"explained_variance": float(1 - unexplained)}
        with torch.no_grad():
            log_densities = self._actor.log_densities(all_seen, all_done)
        return _Batch(
            all_seen,
            all_done,
            log_densities,
            torch.tensor(all_estimates, dtype=torch.float32),
            torch.tensor(all_returns, dtype=torch.float32),
        )

    def _done(self, trajectory: Trajectory, observations: Any) -> Any:
        """Return the actions that the policy drew, in its units.

        The trajectory has them only after they were clipped to the bounds of the space, so the
        noise is drawn again.
        """
        import torch

        from esengine.policies.torch_network import encode

        action = self.problem.policy.action
        if action.kind != "box":
            return encode(action, trajectory.actions)
        assert trajectory.seed is not None
        drawn = action_noise(np.uint64(trajectory.seed), trajectory.num_steps, action.num_outputs)
        noise = torch.tensor(drawn.astype(np.float32))
        with torch.no_grad():
            return self._actor.outputs(observations) + self._actor.log_stds().exp() * noise

    def _minibatches(self, size: int, number: int) -> Iterator[Any]:
        """Yield the rows of every gradient step of a round, in orders drawn by the seed."""
        import torch

        for epoch in range(self.settings.epochs):
            random = generator(derive_key(self.seed, "minibatches", number), epoch)
            yield from torch.split(torch.tensor(random.permutation(size)), self.settings.batch_size)

    def _update(self, batch: _Batch, number: int) -> None:
        """Take clipped gradient steps over the batch of a round."""
        import torch

        settings = self.settings
        sums = np.zeros(4)
        count = 0
        for rows in self._minibatches(len(batch), number):
            loss, terms = self._loss(batch.rows(rows))
            if settings.target_kl is not None and terms[2] > 1.5 * settings.target_kl:
                break
            self._adam.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(
                self._leaves().values(), settings.most_gradient, foreach=False
            )
            self._adam.step()
            sums += terms
            count += 1

        names = ("policy_loss", "value_loss", "kl", "clip_share")
        means = (sums / max(count, 1)).tolist()
        self._metrics |= dict(zip(names, means, strict=True)) | {"gradient_steps": count}

    def _loss(self, batch: _Batch) -> tuple[Any, NDArray[np.float64]]:
        """Return the loss of some steps, and an array of its terms: the policy loss, the value
        loss, the KL divergence in nats, and the share of clipped steps.
        """
        settings = self.settings
        weights = batch.advantages
        if len(batch) > 1:
            weights = (weights - weights.mean()) / (weights.std() + 1e-8)

        # L^CLIP (eq. 7)
        log_densities = self._actor.log_densities(batch.observations, batch.targets)
        log_ratios = log_densities - batch.log_densities
        ratios = log_ratios.exp()
        clipped = ratios.clamp(1 - settings.clip_range, 1 + settings.clip_range)
        policy_loss = -(weights * ratios).minimum(weights * clipped).mean()

        # L^VF and the entropy bonus S (eq. 9)
        value_loss = ((self._critic.outputs(batch.observations)[:, 0] - batch.returns) ** 2).mean()
        loss = policy_loss + settings.value_weight * value_loss
        if settings.entropy_weight:
            loss = loss - settings.entropy_weight * self._actor.entropies(batch.observations).mean()

        # An unbiased, positive estimate of the KL divergence
        kl = (ratios.detach() - 1 - log_ratios.detach()).mean()
        clip_share = (ratios.detach() != clipped.detach()).float().mean()
        terms = (policy_loss.detach(), value_loss.detach(), kl, clip_share)
        return loss, np.array([float(term) for term in terms])

    def _observe(self) -> None:
        """Add the round's observations to the statistics, which scale from the next round on."""
        if not self.problem.observes:
            return
        seen = np.concatenate([one.observations[:-1] for one in self.trajectories])
        mean = seen.mean(axis=0)
        squares = ((seen - mean) ** 2).sum(axis=0)
        self.problem.statistics.merge(np.concatenate([[len(seen)], mean, squares]))

    def should_stop(self) -> None:
        """Return None: only the run's budgets and target stop it."""

    def parameters(self) -> NDArray[np.float32]:
        """The newest policy, (num_parameters,) float32, without log standard deviations unless the
        problem's actions are drawn.
        """
        return self._actor.parameters()[: self.problem.policy.num_parameters]

    def metrics(self) -> dict[str, float]:
        if not self._actor.spec.num_log_stds:
            return self._metrics
        return self._metrics | {"log_std": float(self._actor.log_stds().detach().mean())}

    def state(self) -> State:
        state = {name: network.parameters() for name, network in self._networks.items()}
        state |= super().state()
        return state | {
            "reward_scale": self._scale.pack(),
            **adam_state(self._adam, self._leaves()),
        }

    def restore(self, state: State) -> None:
        import torch

        super().restore(state)
        self._scale.unpack(state["reward_scale"])
        for name, network in self._networks.items():
            if state[name].shape != tuple(network.flat.shape):
                raise ValueError(
                    f"the {name} must have {len(network.flat)} parameters, got {state[name].shape}"
                )
            with torch.no_grad():
                network.flat.copy_(torch.tensor(state[name]))
        restore_adam(self._adam, self._leaves(), state)

    def _leaves(self) -> dict[str, Any]:
        return {f"adam/{name}/": network.flat for name, network in self._networks.items()}


def critic_spec(policy: PolicySpec) -> PolicySpec:
    """Return the network of the critic: the policy's hidden layers, or two of 64 units for a linear
    policy, and one output.
    """
    number = ActionSpec("box", (1,), (-math.inf,), (math.inf,), (1,))
    sizes = policy.hidden_sizes or (64, 64)
    return PolicySpec(
        policy.observation_dim,
        number,
        sizes,
        activation=policy.activation,
        layer_norm=policy.layer_norm,
        observation_shape=policy.observation_shape,
        convolutions=policy.convolutions,
    )
