"""The settings of the methods that learn a reward; reading them does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from esengine.checks import at_least, not_negative, positive, within
from esengine.environments.spaces import ActionSpec
from esengine.errors import UserError
from esengine.rewards import LearnedReward, RewardForm, RewardSource, RewardSpec, Sampling, Sees


@dataclass(frozen=True)
class RewardLearningSettings:
    """The settings of every method that learns a reward from demonstrations."""

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {"generations": 200}

    demonstrations: tuple[str, ...] = ()
    """Files of demonstrations: npz, folders of Minari datasets, or minari:ID."""
    trajectories: int | None = None
    """Number of demonstrations to use, drawn by --seed; default all."""
    generator: str = "cma-es"
    """Method that makes the policies: any strategy, module:Class included, or ppo. cma-es has 64
    members.
    """
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
    """The settings of the reward's network and its training.

    Those of a method also have a property ``sampling``, which says which steps the workers send
    back, and a method ``source(observation_dim, action)``, which returns the reward source with all
    parameters zero that every rank has at the start.
    """

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
    """Number of last generations whose steps the expert's steps are compared with."""
    reward_batch_size: int = 256
    """Number of expert steps, and of generated steps, per gradient step; 0 takes all steps, for
    inverse-rl alone.
    """

    def check(self) -> None:
        super().check()
        at_least(self, 1, "reward_steps", "replay_generations")
        at_least(self, 0, "reward_batch_size", way_out="0 takes all steps")
        positive(self, "reward_learning_rate")
        not_negative(self, "reward_weight_decay", way_out="0 turns it off")
        if any(size < 1 for size in self.reward_hidden_sizes):
            raise UserError(
                f"--reward-hidden-sizes must be at least 1 each, got {self.reward_hidden_sizes}; "
                f"use 64 64"
            )

    @property
    def kept_every(self) -> int:
        """The n of "every n-th step of each demonstration is used"."""
        return 1

    @property
    def needs_actions(self) -> bool:
        """Whether the demonstrations must hold actions."""
        return True


@dataclass(frozen=True)
class DiscriminatorSettings(RewardNetworkSettings):
    """The settings of a network that distinguishes the expert's steps, and its training."""

    reward_steps: int = 4
    """Gradient steps of the reward after each generation."""
    reward_learning_rate: float = 4e-3
    """Step size of the reward's Adam."""
    every: int = 1
    """Use every n-th step of each demonstration, from a first step drawn by --seed."""
    gradient_penalty: float = 10.0
    """Weight of the gradient penalty: the squared difference of the gradient's norm from 1, at
    points between expert steps and generated steps.
    """
    dropout: float = 0.0
    """Fraction of hidden units to leave out of each gradient step."""
    input_dropout: float = 0.0
    """Fraction of inputs to leave out of each gradient step."""

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
    """Generative adversarial imitation: reward steps that a network takes for the expert's."""

    reward_form: RewardForm = "unbiased"
    """How the logit L becomes the reward: L, which favours neither long nor short episodes;
    softplus(L), which favours long ones; -softplus(-L), which favours short ones. These bound L
    by 10; unbounded is L itself.
    """
    state_only: bool = False
    """Learn from pairs of successive observations, which the demonstrations' actions are no part of
    (GAIfO: Torabi, Warnell, Stone 2018); they may then hold none.
    """
    samples_per_member: int = 32
    """Number of steps per member that the reward learns from; with ppo it learns from all steps."""

    def check(self) -> None:
        super().check()
        at_least(self, 1, "samples_per_member")

    @property
    def sampling(self) -> Sampling:
        return Sampling(0, self.samples_per_member)

    @property
    def needs_actions(self) -> bool:
        return not self.state_only

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        sizes = self.reward_hidden_sizes
        sees: Sees = "transitions" if self.state_only else "actions"
        spec = RewardSpec(observation_dim, action, sizes, self.reward_form, sees)
        return RewardSource(LearnedReward.blank(spec))


@dataclass(frozen=True)
class AIRLSettings(DiscriminatorSettings):
    """Adversarial inverse reinforcement learning: a reward without shaping, which may be valid
    under other dynamics.
    """

    defaults: ClassVar[dict[str, Any]] = {"generations": 200, "sampled_actions": True}

    gradient_penalty: float = 0.0
    """Weight of the gradient penalty of `gail`: a reward with a slope near 1 cannot follow log pi,
    which is as steep as the policies are sharp.
    """
    state_only: bool = True
    """Let the reward depend only on the state; it can then equal the expert's up to a constant."""
    shaping: bool = True
    """Learn the shaping separately, as differences of a potential; without it the reward is an
    advantage.
    """
    potential_hidden_sizes: tuple[int, ...] = (32, 32)
    """Units of each tanh layer of the potential."""
    discount: float = 0.99
    """Gamma of the potential's differences: gamma h(s') - h(s)."""
    entropy_weight: float = 1.0
    """Weight of -log pi(a | s) in the policies' reward; the method itself uses 1."""
    sampled_members: int = 8
    """Number of members per generation whose steps and densities the reward learns from; ppo has
    one policy per round.
    """
    samples_per_member: int = 128
    """Number of steps per sampled member; with ppo the reward learns from all steps."""

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
        sizes = self.reward_hidden_sizes
        sees: Sees = "states" if self.state_only else "actions"
        spec = RewardSpec(observation_dim, action, sizes, "unbounded", sees)
        sizes = self.potential_hidden_sizes
        potential = RewardSpec(observation_dim, action, sizes, "unbounded", "states")
        shaped = LearnedReward.blank(potential) if self.shaping else None
        return RewardSource(
            LearnedReward.blank(spec), 0.0, shaped, self.discount, self.entropy_weight
        )


@dataclass(frozen=True)
class InverseRLSettings(RewardNetworkSettings):
    """Maximum-entropy inverse reinforcement learning with a sampled partition function: guided cost
    learning.
    """

    defaults: ClassVar[dict[str, Any]] = {
        "generations": 200,
        "sampled_actions": True,
        "episodes_per_member": 1,
    }

    reward_steps: int = 5
    """Gradient steps of the reward after each generation."""
    replay_generations: int = 3
    """Number of last generations whose trajectories estimate the partition function."""
    entropy_weight: float = 1.0
    """Weight of -log pi(a | s) in the policies' reward; 1 is the scale of the model exp(R)."""
    sampled_members: int = 16
    """Number of members per generation whose episodes the reward learns from; with ppo, the number
    of episodes per round.
    """
    least_effective_share: float = 0.5
    """Raise the importance weights to the largest power at most 1 at which the effective sample
    size is this fraction of the trajectories.
    """
    reward_penalty: float = 0.05
    """Weight of the squared reward of a step in the loss."""
    most_promising: float = 1.0
    """Fraction of the trajectories, those with the highest learned returns, that estimate log Z;
    the bias is reported.
    """
    smoothness: float = 0.0
    """Weight of the squared second differences of the reward along trajectories."""
    monotonicity: float = 0.0
    """Weight of the squared decreases of the reward by more than 1 between consecutive steps of the
    demonstrations.
    """

    def check(self) -> None:
        super().check()
        at_least(self, 2, "sampled_members")
        within(self, 0, 1, "least_effective_share", ends="[)", way_out="0 keeps the exact weights")
        within(self, 0, 1, "most_promising", ends="(]", way_out="1 takes all")
        weights = ("reward_penalty", "smoothness", "monotonicity", "entropy_weight")
        not_negative(self, *weights, way_out="0 turns it off")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.sampled_members, 0)

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        spec = RewardSpec(observation_dim, action, self.reward_hidden_sizes, "unbounded")
        return RewardSource(LearnedReward.blank(spec), entropy_weight=self.entropy_weight)
