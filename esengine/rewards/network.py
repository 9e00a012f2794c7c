"""Learned rewards: a small tanh network over observation and action, scored in compiled code.

Its inputs are the observation, the action (a discrete choice one-hot) or the next observation or
neither, and a number that is 1 in the absorbing state, which follows the end of a task, and 0
elsewhere. Inputs are standardised and clipped as a policy's observations are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.policies.forward_pass import forward, forward_reference
from esengine.policies.layers import Layer, dense_layers
from esengine.policies.layers_apart import Network, network_of
from esengine.policies.network import NetworkSpec
from esengine.policies.normalizer import reach_scale

RewardForm = Literal["unbiased", "survival-biased", "termination-biased", "unbounded"]
"""What is made of the network's output L, the logit of being the expert's: L, softplus(L) = -log(1
- D), which is positive and so pays for every step, or -softplus(-L) = log D, which is negative and
so pays for ending the episode. These three clip L; the last is L as it is, as it was learned.
"""

FORMS: tuple[RewardForm, ...] = get_args(RewardForm)
Sees = Literal["actions", "states", "transitions"]
"""What a reward sees of a step beside the observation: the action, nothing, or the next
observation.
"""
SIGHTS: tuple[Sees, ...] = get_args(Sees)
# the output is clipped to +- this, so that a saturated network cannot drown all other steps
MOST_LOGIT = 10.0
_UNBIASED = FORMS.index("unbiased")
_SURVIVAL = FORMS.index("survival-biased")
_UNBOUNDED = FORMS.index("unbounded")


@dataclass(frozen=True)
class RewardSpec(NetworkSpec):
    """The architecture of a learned reward.

    Attributes:
        observation_dim: length of the flat observation.
        action: what actions are.
        hidden_sizes: units of each tanh layer.
        form: see `RewardForm`.
        sees: see `Sees`; a reward of states alone may hold under other dynamics.
    """

    observation_dim: int
    action: ActionSpec
    hidden_sizes: tuple[int, ...] = (64, 64)
    form: RewardForm = "unbiased"
    sees: Sees = "actions"

    purpose = "initial reward"

    @property
    def choice_sizes(self) -> tuple[int, ...]:
        """Inputs of each number beside the observation: of each choice of the action, or one of
        each number of the next observation.
        """
        if self.sees == "actions":
            return self.action.sizes
        return (1,) * self.observation_dim if self.sees == "transitions" else ()

    @property
    def num_inputs(self) -> int:
        return self.observation_dim + sum(self.choice_sizes) + 1

    @property
    def layers(self) -> tuple[Layer, ...]:
        return dense_layers((self.num_inputs, *self.hidden_sizes, 1))

    def beside(
        self, choices: NDArray[np.float64], next_observations: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """What `inputs` and `LearnedReward.steps` take as the choices of steps.

        Args:
            choices: (num_steps, num_choices) of the actions.
            next_observations: (num_steps, observation_dim).
        """
        return next_observations.astype(np.float64) if self.sees == "transitions" else choices

    def inputs(
        self, observations: NDArray[np.floating], choices: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Rows of the network's inputs, (num_steps, num_inputs), before they are standardised.

        Args:
            observations: (num_steps, observation_dim).
            choices: (num_steps, num_choices) as the kernel `policies.act` writes them: discrete
                ones count from 0. Of a reward that sees transitions, the next observations.
        """
        rows = np.zeros((len(observations), self.num_inputs), np.float32)
        rows[:, : self.observation_dim] = observations
        column = self.observation_dim
        for choice, size in enumerate(self.choice_sizes):
            if size == 1:
                rows[:, column] = choices[:, choice]
            else:
                rows[np.arange(len(rows)), column + choices[:, choice].astype(np.int64)] = 1
            column += size
        return rows


@dataclass
class LearnedReward:
    """A reward network with its parameters and the scaling of its inputs, ready to score.

    Args:
        spec: the architecture.
        parameters: (num_parameters,) float32.
        input_mean, input_inverse_std: (num_inputs,) float32; the last, of the absorbing state, must
            be 0 and 1.

    Raises:
        UserError: an array has another shape.
    """

    spec: RewardSpec
    parameters: NDArray[np.float32]
    input_mean: NDArray[np.float32]
    input_inverse_std: NDArray[np.float32]
    _network: Network = field(init=False, repr=False)

    def __post_init__(self) -> None:
        expected = {"parameters": self.spec.num_parameters, "input_mean": self.spec.num_inputs}
        for name, size in (expected | {"input_inverse_std": self.spec.num_inputs}).items():
            if getattr(self, name).shape != (size,):
                raise UserError(
                    f"a reward of hidden sizes {self.spec.hidden_sizes} must have {name} of shape "
                    f"({size},), "
                    f"got {getattr(self, name).shape}; use the reward file's own architecture"
                )
        self._network = network_of(self.spec.layers, self.input_mean, self.input_inverse_std)
        self._choice_sizes = np.array(self.spec.choice_sizes, np.int64)
        self._form = FORMS.index(self.spec.form)

    @classmethod
    def blank(cls, spec: RewardSpec) -> LearnedReward:
        """A reward of 0 everywhere, whose inputs are taken as they are."""
        inputs = np.zeros(spec.num_inputs, np.float32)
        return cls(spec, np.zeros(spec.num_parameters, np.float32), inputs, inputs + 1)

    @classmethod
    def initial(
        cls,
        spec: RewardSpec,
        seed: int,
        observations: NDArray[np.floating],
        choices: NDArray[np.float64],
    ) -> LearnedReward:
        """A new reward, whose inputs are scaled by their reach in the given steps, see
        `reach_scale`; discrete choices are left as they are.

        Args:
            spec: the architecture.
            seed: of the weights.
            observations, choices: see `RewardSpec.inputs`.
        """
        mean, inverse_reach = reach_scale(spec.inputs(observations, choices))
        several = np.repeat(np.array(spec.choice_sizes, np.int64) > 1, spec.choice_sizes)
        plain = np.concatenate([np.zeros(spec.observation_dim, bool), several, [True]])
        mean[plain] = 0.0
        # what never varied tells nothing of its scale
        inverse_reach[plain | (inverse_reach == 0)] = 1.0
        return cls(spec, spec.initial_parameters(seed), mean, inverse_reach)

    def steps(
        self, observations: NDArray[np.float32], choices: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The reward of each step, (num_steps,).

        Args:
            observations, choices: see `RewardSpec.inputs`.
        """
        rewards = np.empty(len(observations))
        head = (self._choice_sizes, self._form)
        score(self.parameters, *self._network, *head, observations, choices, rewards)
        return rewards

    @property
    def absorbing(self) -> float:
        """The reward of a step in the absorbing state."""
        state = np.array(self.input_mean)
        state[-1] = 1.0
        table, *others = self._network
        outputs, _ = forward(self.parameters, table, state, *others)
        return float(shape(np.float64(outputs[0]), self._form))

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """What changes while it is learned, and what it is read with."""
        names = ("parameters", "input_mean", "input_inverse_std")
        return {name: getattr(self, name) for name in names}

    def with_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> LearnedReward:
        """The same architecture with other `arrays`, which are copied: a mapped array is another
        type to Numba.
        """
        return LearnedReward(self.spec, *(np.array(arrays[name]) for name in self.arrays()))


@kernel
def shape(logit: float, form: int) -> float:
    """The reward that a form, by its place in `FORMS`, makes of a logit."""
    if form == _UNBOUNDED:
        return logit
    clipped = min(max(logit, -MOST_LOGIT), MOST_LOGIT)
    if form == _UNBIASED:
        return clipped
    if form == _SURVIVAL:
        return np.log1p(np.exp(clipped))  # type: ignore[no-any-return]
    return -np.log1p(np.exp(-clipped))  # type: ignore[no-any-return]


@kernel
def score(
    parameters: NDArray[np.float32],
    table: NDArray[np.int64],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    state: NDArray[np.float32],
    choice_sizes: NDArray[np.int64],
    form: int,
    observations: NDArray[np.float32],
    choices: NDArray[np.float64],
    rewards: NDArray[np.float64],
) -> None:
    """Write the reward of every step.

    Args:
        parameters: (num_parameters,), laid out as a policy's.
        table, mean, inverse_std, hidden, state: from `network_of`.
        choice_sizes: (num_choices,) options of each choice, 1 for a number.
        form: place in `FORMS`.
        observations: (num_steps, obs_dim).
        choices: (num_steps, num_choices), discrete ones from 0.
        rewards: (num_steps,) overwritten.
    """
    inputs = np.empty(mean.size, np.float32)
    for step in range(observations.shape[0]):
        inputs[:] = np.float32(0.0)
        column = observations.shape[1]
        for k in range(column):
            inputs[k] = observations[step, k]
        for choice in range(choice_sizes.size):
            if choice_sizes[choice] == 1:
                inputs[column] = np.float32(choices[step, choice])
            else:
                inputs[column + np.int64(choices[step, choice])] = np.float32(1.0)
            column += choice_sizes[choice]
        outputs, _ = forward(parameters, table, inputs, mean, inverse_std, hidden, state)
        rewards[step] = shape(np.float64(outputs[0]), form)


def score_reference(
    reward: LearnedReward, observations: NDArray[np.floating], choices: NDArray[np.float64]
) -> NDArray[np.float64]:
    """NumPy twin of `score`, with the library's tanh: the reward of every step, (num_steps,)."""
    inputs = reward.spec.inputs(observations, choices)
    scaling = (reward.input_mean, reward.input_inverse_std)
    outputs = forward_reference(reward.parameters, reward.spec.layers, inputs, *scaling)
    logits = outputs[:, 0].astype(np.float64)
    if reward.spec.form == "unbounded":
        return logits
    clipped = np.clip(logits, -MOST_LOGIT, MOST_LOGIT)
    if reward.spec.form == "unbiased":
        return clipped
    survives = reward.spec.form == "survival-biased"
    return np.asarray(np.log1p(np.exp(clipped)) if survives else -np.log1p(np.exp(-clipped)))
