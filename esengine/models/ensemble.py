"""An ensemble of probabilistic networks that predict the next observation, the reward and the end
of an episode (PETS: Chua, Calandra, McAllister, Levine 2018, arXiv 1805.12114).

Each network maps an observation and an action to a normal distribution of the change of the
observation and of the reward, and to the logit of termination. Its outputs are n + 1 means, n + 1
numbers that `log_std` makes of log standard deviations, and the logit, with n numbers in an
observation.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec
from esengine.policies.layers import ELU, Layer, dense_layers
from esengine.policies.network import NetworkSpec
from esengine.seeding import derive_seed

MIDDLE_LOG_STD = -2.0
"""Log standard deviations are the middle plus the reach times tanh of an output, in standardised
units: from -5 to 1.
"""
REACH_LOG_STD = 3.0


@dataclass(frozen=True)
class ModelSpec(NetworkSpec):
    """The architecture of an ensemble.

    Attributes:
        observation_dim: length of the flat observation.
        action: the action space, a box or one discrete choice.
        hidden_sizes: units of each hidden layer.
        num_members: networks in the ensemble.
    """

    observation_dim: int
    action: ActionSpec
    hidden_sizes: tuple[int, ...] = (64, 64)
    num_members: int = 5

    purpose = "initial model"

    @property
    def num_inputs(self) -> int:
        return self.observation_dim + sum(self.action.sizes)

    @property
    def num_targets(self) -> int:
        """Numbers with a normal distribution: the changes of an observation, and the reward."""
        return self.observation_dim + 1

    @property
    def layers(self) -> tuple[Layer, ...]:
        outputs = 2 * self.num_targets + 1
        return dense_layers((self.num_inputs, *self.hidden_sizes, outputs), ELU)

    def initial_ensemble(self, seed: int) -> NDArray[np.float32]:
        """The networks before they are fitted, (num_members, num_parameters) float32."""
        seeds = [derive_seed(seed, member) for member in range(self.num_members)]
        return np.array([self.initial_parameters(own) for own in seeds])

    def inputs(
        self, observations: NDArray[np.floating], values: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Rows of the networks' inputs, (num_steps, num_inputs), before they are standardised.

        Args:
            observations: (num_steps, observation_dim).
            values: (num_steps, num_choices) numbers of a box, or the option from 0 on.
        """
        if self.action.kind == "discrete":
            values = np.eye(self.action.sizes[0])[values[:, 0].astype(np.int64)]
        return np.concatenate([observations, values], axis=1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class LearnedModel:
    """An ensemble with its parameters and scaling, ready to predict.

    Attributes:
        spec: the architecture.
        parameters: (num_members * num_parameters,) float32, one network after another.
        input_mean, input_inverse_std: (num_inputs,) float32.
        target_mean, target_std: (num_targets,) float32.
    """

    spec: ModelSpec
    parameters: NDArray[np.float32]
    input_mean: NDArray[np.float32]
    input_inverse_std: NDArray[np.float32]
    target_mean: NDArray[np.float32]
    target_std: NDArray[np.float32]

    @classmethod
    def blank(cls, spec: ModelSpec) -> LearnedModel:
        """A model in which nothing changes and no reward is paid."""
        return cls(spec, *(np.zeros(size, np.float32) for size in cls.sizes(spec).values()))

    @staticmethod
    def sizes(spec: ModelSpec) -> dict[str, int]:
        """The length of each array."""
        return {
            "parameters": spec.num_members * spec.num_parameters,
            "input_mean": spec.num_inputs,
            "input_inverse_std": spec.num_inputs,
            "target_mean": spec.num_targets,
            "target_std": spec.num_targets,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All arrays by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)[1:]}

    def packed(self) -> NDArray[np.float32]:
        """All arrays in one vector."""
        return np.concatenate(list(self.arrays().values()))

    @classmethod
    def unpacked(cls, spec: ModelSpec, numbers: NDArray[np.float32]) -> LearnedModel:
        """The model that `packed` returned the vector of."""
        parts = np.split(numbers, np.cumsum(list(cls.sizes(spec).values()))[:-1])
        return cls(spec, *parts)
