"""Settings of the methods that learn a reward; torch is not needed to read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from esengine.checks import at_least, not_negative, positive, within
from esengine.environments.spaces import ActionSpec
from esengine.errors import UserError
from esengine.rewards.network import LearnedReward, RewardForm, RewardSpec
from esengine.rewards.sampling import Sampling
from esengine.rewards.source import RewardSource


@dataclass(frozen=True)
class RewardLearningSettings:
    """Whose policies the expert is told from, and what is known of the expert."""

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {}

    demonstrations: tuple[str, ...] = ()
    """Files of demonstrations: npz, folders of Minari datasets, or minari:ID."""
    trajectories: int | None = None
    """Use so many of the demonstrations, drawn by --seed; default all."""
    generator: str = "cma-es"
    """Method that makes the policies: any strategy, module:Class included, or ppo."""
    generator_arg: tuple[str, ...] = ()
    """Settings of the generator, each name=value; for example population_size=128 sigma=0.3, or of
    ppo learning_rate=1e-3.
    """

    def check(self) -> None:
        """Raises UserError for settings that learn nothing."""
        if not self.demonstrations:
            raise UserError(
                "--demonstrations must name at least one file, got none; collect some with "
                "esengine collect"
            )
        at_least(self, 1, "trajectories", way_out="leave it out for all")


@dataclass(frozen=True)
class RewardNetworkSettings(RewardLearningSettings):
    """How the reward's network is trained."""

    reward_hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each tanh layer of the reward's network."""
    reward_steps: int = 1
    """Gradient steps of the reward after each generation."""
    reward_learning_rate: float = 1e-3
    """Step size of the reward's Adam."""
    spectral_norm: bool = False
    """Divide each layer's weights by their largest singular value."""
    reward_weight_decay: float = 0.0
    """Weight of the sum of squared weights of the reward's network in its loss."""
    replay_generations: int = 10
    """Generations whose steps the expert's are told from."""

    def check(self) -> None:
        super().check()
        at_least(self, 1, "reward_steps", "replay_generations")
        positive(self, "reward_learning_rate")
        not_negative(self, "reward_weight_decay", way_out="0 turns it off")
        if any(size < 1 for size in self.reward_hidden_sizes):
            raise UserError(
                f"--reward-hidden-sizes must be at least 1 each, got {self.reward_hidden_sizes}; "
                f"use 64 64"
            )

    @property
    def kept_every(self) -> int:
        """One step in so many of each demonstration is used."""
        return 1

    @property
    def sampling(self) -> Sampling:
        """Which steps come back."""
        raise NotImplementedError

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        """What policies are paid by, with parameters of zero: what every rank knows before the
        first publication.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class DiscriminatorSettings(RewardNetworkSettings):
    """How a network that tells the expert's steps is trained."""

    reward_steps: int = 4
    """Gradient steps of the reward after each generation."""
    reward_learning_rate: float = 4e-3
    """Step size of the reward's Adam."""
    every: int = 1
    """Use one step in so many of each demonstration, from a first one drawn by --seed."""
    reward_batch_size: int = 256
    """Steps of the expert, and as many of the generator, of a gradient step."""
    gradient_penalty: float = 10.0
    """Weight of the squared distance of the gradient's norm from 1, between steps of the expert and
    of the generator.
    """
    dropout: float = 0.0
    """Share of hidden units that are left out of a gradient step."""
    input_dropout: float = 0.0
    """Share of inputs that are left out of a gradient step."""

    def check(self) -> None:
        super().check()
        at_least(self, 1, "every", "reward_batch_size")
        not_negative(self, "gradient_penalty", way_out="0 turns it off")
        within(self, 0, 1, "dropout", "input_dropout", ends="[)", way_out="0 turns it off")

    @property
    def kept_every(self) -> int:
        return self.every


@dataclass(frozen=True)
class GAILSettings(DiscriminatorSettings):
    """Generative adversarial imitation: reward what a network takes for the expert's."""

    reward_form: RewardForm = "unbiased"
    """What the network's logit L becomes: L, which pays for neither living nor ending; softplus(L),
    which pays for every step; -softplus(-L), which pays for ending.
    """
    samples_per_member: int = 32
    """Steps that each member of a generation sends back for the reward to learn from; ppo has all
    of its own anyway.
    """

    def check(self) -> None:
        super().check()
        at_least(self, 1, "samples_per_member")

    @property
    def sampling(self) -> Sampling:
        return Sampling(0, self.samples_per_member)

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        spec = RewardSpec(observation_dim, action, self.reward_hidden_sizes, self.reward_form)
        return RewardSource(LearnedReward.blank(spec))


@dataclass(frozen=True)
class AIRLSettings(DiscriminatorSettings):
    """Adversarial inverse reinforcement learning: a reward apart from its shaping, which may hold
    under other dynamics.
    """

    defaults: ClassVar[dict[str, Any]] = {"sampled_actions": True}

    state_only: bool = True
    """Let the reward depend on the state alone, as it must to be the expert's up to a constant."""
    shaping: bool = True
    """Add the differences of a potential, which takes what only shapes the reward; without it the
    reward is an advantage.
    """
    potential_hidden_sizes: tuple[int, ...] = (32, 32)
    """Units of each tanh layer of the potential."""
    discount: float = 0.99
    """Gamma of the potential's differences: gamma h(s') - h(s)."""
    entropy_weight: float = 1.0
    """Weight of -log pi(a | s) in what policies are paid; 1 is the method's own."""
    sampled_members: int = 8
    """Members of a generation, spread over it, whose steps and densities the reward learns from;
    ppo has one policy a round.
    """
    samples_per_member: int = 128
    """Steps that each of those sends back; ppo has all of its own anyway."""

    def check(self) -> None:
        super().check()
        at_least(self, 1, "sampled_members", "samples_per_member")
        within(self, 0, 1, "discount", ends="(]")
        not_negative(self, "entropy_weight", way_out="0 turns it off")
        if self.state_only and not self.shaping:
            raise UserError(
                "--no-shaping leaves a reward of the state alone without what actions are worth; "
                "add --no-state-only"
            )

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.sampled_members, self.samples_per_member)

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        spec = RewardSpec(
            observation_dim, action, self.reward_hidden_sizes, state_only=self.state_only
        )
        potential = RewardSpec(
            observation_dim, action, self.potential_hidden_sizes, state_only=True
        )
        shaped = LearnedReward.blank(potential) if self.shaping else None
        return RewardSource(
            LearnedReward.blank(spec), 0.0, shaped, self.discount, self.entropy_weight
        )


@dataclass(frozen=True)
class InverseRLSettings(RewardNetworkSettings):
    """Maximum-entropy inverse reinforcement learning with a sampled partition function: guided cost
    learning.
    """

    defaults: ClassVar[dict[str, Any]] = {"sampled_actions": True, "episodes_per_member": 1}

    reward_steps: int = 5
    """Gradient steps of the reward after each generation, each on all trajectories."""
    replay_generations: int = 3
    """Generations whose trajectories estimate the partition function, weighted by the densities of
    all their policies.
    """
    entropy_weight: float = 1.0
    """Weight of -log pi(a | s) in what policies are paid; 1 is the scale of the model exp(R)."""
    sampled_members: int = 16
    """Members of a generation, spread over it, whose whole episodes come back; of ppo, episodes of
    a round.
    """
    least_effective_share: float = 0.05
    """The reward waits for better policies while the effective sample size is below this share of
    the trajectories.
    """
    most_promising: float = 1.0
    """Share of the trajectories, those of the highest learned returns, that log Z is made of; its
    bias is told.
    """
    smoothness: float = 0.0
    """Weight of the squared second differences of the reward along trajectories."""
    monotonicity: float = 0.0
    """Weight of squared falls of the reward by more than 1 from step to step of the demonstrations.
    """

    def check(self) -> None:
        super().check()
        at_least(self, 2, "sampled_members")
        within(self, 0, 1, "least_effective_share", ends="[)", way_out="0 never waits")
        within(self, 0, 1, "most_promising", ends="(]", way_out="1 takes all")
        weights = ("smoothness", "monotonicity", "entropy_weight")
        not_negative(self, *weights, way_out="0 turns it off")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.sampled_members, 0)

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        spec = RewardSpec(observation_dim, action, self.reward_hidden_sizes)
        return RewardSource(LearnedReward.blank(spec), entropy_weight=self.entropy_weight)
