"""Settings of the methods that learn a reward; torch is not needed to read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from esengine.errors import UserError
from esengine.reward_sources import RewardSource
from esengine.rewards import LearnedReward, RewardForm, RewardSpec
from esengine.sampling import Sampling
from esengine.spaces import ActionSpec


@dataclass(frozen=True)
class RewardLearningSettings:
    """Whose policies the expert is told from, and what is known of the expert."""

    antithetic: ClassVar[bool] = False
    defaults: ClassVar[dict[str, Any]] = {}

    demonstrations: tuple[str, ...] = ()
    """Files of demonstrations: npz, folders of Minari datasets, or minari:ID."""
    trajectories: int | None = None
    """Use so many of the demonstrations, drawn by --seed; default all."""
    every: int = 1
    """Use one step in so many of each demonstration, from a first one drawn by --seed."""
    generator: str = "cma-es"
    """Method that makes the policies: any strategy, module:Class included."""
    generator_arg: tuple[str, ...] = ()
    """Settings of the generator, each name=value; for example population_size=128 sigma=0.3."""

    def check(self) -> None:
        """Raises UserError for settings that learn nothing."""
        if not self.demonstrations:
            raise UserError("--demonstrations must name at least one file, got none; collect some with esengine collect")
        for name in ("trajectories", "every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} must be at least 1, got {value}; use 1 or more")


@dataclass(frozen=True)
class DiscriminatorSettings(RewardLearningSettings):
    """How the network that tells the expert's steps is trained."""

    reward_hidden_sizes: tuple[int, ...] = (64, 64)
    """Units of each tanh layer of the reward's network."""
    reward_steps: int = 1
    """Gradient steps of the reward after each generation."""
    reward_batch_size: int = 256
    """Steps of the expert, and as many of the generator, of a gradient step."""
    reward_learning_rate: float = 1e-3
    """Step size of the reward's Adam."""
    gradient_penalty: float = 10.0
    """Weight of the squared distance of the gradient's norm from 1, between steps of the expert and of the generator."""
    spectral_norm: bool = False
    """Divide each layer's weights by their largest singular value."""
    dropout: float = 0.0
    """Share of hidden units that are left out of a gradient step."""
    input_dropout: float = 0.0
    """Share of inputs that are left out of a gradient step."""
    reward_weight_decay: float = 0.0
    """Weight of the sum of squared weights of the reward's network in its loss."""
    replay_generations: int = 10
    """Generations whose steps the expert's are told from."""

    def check(self) -> None:
        """Raises UserError for settings that train nothing."""
        super().check()
        for name in ("reward_steps", "reward_batch_size", "replay_generations"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}; use 1 or more")
        if not (math.isfinite(self.reward_learning_rate) and self.reward_learning_rate > 0):
            raise UserError(f"--reward-learning-rate must be positive, got {self.reward_learning_rate}; 0.001 is usual")
        for name in ("gradient_penalty", "reward_weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UserError(f"--{name.replace('_', '-')} must not be negative, got {value}; 0 turns it off")
        for name in ("dropout", "input_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} must lie in [0, 1), got {getattr(self, name)}; 0 turns it off")
        if any(size < 1 for size in self.reward_hidden_sizes):
            raise UserError(f"--reward-hidden-sizes must be at least 1 each, got {self.reward_hidden_sizes}; use 64 64")


@dataclass(frozen=True)
class GAILSettings(DiscriminatorSettings):
    """Generative adversarial imitation: reward what a network takes for the expert's."""

    reward_form: RewardForm = "unbiased"
    """What the network's logit L becomes: L, which pays for neither living nor ending; softplus(L), which pays for every step;
    -softplus(-L), which pays for ending."""
    samples_per_member: int = 32
    """Steps that each member of a generation sends back for the reward to learn from."""

    def check(self) -> None:
        super().check()
        if self.samples_per_member < 1:
            raise UserError(f"--samples-per-member must be at least 1, got {self.samples_per_member}; use 32")

    @property
    def sampling(self) -> Sampling:
        """Which steps come back."""
        return Sampling(0, self.samples_per_member)

    def source(self, observation_dim: int, action: ActionSpec) -> RewardSource:
        """What policies are paid by, with parameters of zero: what every rank knows before the first publication."""
        spec = RewardSpec(observation_dim, action, self.reward_hidden_sizes, self.reward_form)
        return RewardSource(LearnedReward.blank(spec))
