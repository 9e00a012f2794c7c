"""Policies as one flat float32 vector that acts in compiled code, one observation at a time.

The vector holds for each layer its weights, (inputs, outputs) row by row, and then its biases. A
sampled box policy ends with one log standard deviation per action. The outputs of a mixture are all
logits, then all means, then all log standard deviations. `forward_pass` computes the outputs.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import ActionSpec
from esengine.errors import UserError
from esengine.policies.forward_pass import forward
from esengine.seeding import derive_key, draw_unit, generator

BOX = 0
_DISCRETE = 1
MULTI_BINARY = 2
MIXTURE = 3
LEAST_LOG_STD = -4.0  # of a mixture's components, which otherwise collapse on single actions
MOST_LOG_STD = 2.0


class NetworkSpec(ABC):
    """The architecture of a tanh network, whose parameters are one flat vector.

    Attributes:
        purpose: of the stream of its initial parameters.
    """

    purpose: ClassVar[str]

    @property
    @abstractmethod
    def layer_sizes(self) -> tuple[int, ...]:
        """The units of each layer, the inputs first."""

    @property
    def num_parameters(self) -> int:
        sizes = itertools.pairwise(self.layer_sizes)
        return sum((inputs + 1) * outputs for inputs, outputs in sizes)

    def initial_parameters(self, seed: int) -> NDArray[np.float32]:
        """The start of a search, (num_parameters,) float32.

        Hidden weights are normal with standard deviation 1 / sqrt(inputs). Biases and the output
        layer are zero, and so is a linear policy.
        """
        parameters = np.zeros(self.num_parameters, np.float32)
        random = generator(derive_key(seed, self.purpose))
        offset = 0

        for inputs, outputs in itertools.pairwise(self.layer_sizes[:-1]):
            weights = random.standard_normal(inputs * outputs) / np.sqrt(inputs)
            parameters[offset : offset + weights.size] = weights
            offset += (inputs + 1) * outputs

        return parameters


@dataclass(frozen=True)
class PolicySpec(NetworkSpec):
    """The architecture of a policy.

    Attributes:
        observation_dim: length of the flat observation.
        action: the action space.
        hidden_sizes: units of each tanh layer; empty for a linear policy.
        sampled: whether actions are drawn from the policy's distribution; otherwise, its mode.
        components: number of normal distributions in the mixture of a box action, or 0 for one
            mean.
    """

    observation_dim: int
    action: ActionSpec
    hidden_sizes: tuple[int, ...] = ()
    sampled: bool = False
    components: int = 0

    purpose = "initial parameters"

    @property
    def num_outputs(self) -> int:
        if self.components:
            return self.components * (1 + 2 * self.action.num_outputs)
        return self.action.num_outputs

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return (self.observation_dim, *self.hidden_sizes, self.num_outputs)

    @property
    def num_parameters(self) -> int:
        return super().num_parameters + (self.num_log_stds if self.sampled else 0)

    @property
    def num_log_stds(self) -> int:
        return self.action.num_outputs if self.action.kind == "box" and not self.components else 0


@dataclass
class Actor:
    """A policy with its parameters and observation scaling, ready to act.

    Args:
        spec: the architecture.
        parameters: (num_parameters,) float32; not copied, so the caller may change it in place.
        observation_mean, observation_inverse_std: (observation_dim,) float32.
    """

    spec: PolicySpec
    parameters: NDArray[np.float32]
    observation_mean: NDArray[np.float32]
    observation_inverse_std: NDArray[np.float32]
    _sizes: NDArray[np.int64] = field(init=False, repr=False)
    _hidden: NDArray[np.float32] = field(init=False, repr=False)
    _head: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.parameters.shape != (self.spec.num_parameters,):
            raise UserError(
                f"a policy of layers {self.spec.layer_sizes} must have {self.spec.num_parameters} "
                f"parameters, got {self.parameters.shape}; use the policy file's own architecture"
            )

        self._sizes = np.array(self.spec.layer_sizes, np.int64)
        self._hidden = np.zeros((2, max(self.spec.layer_sizes)), np.float32)

        action = self.spec.action
        kind = {"box": BOX, "multi-binary": MULTI_BINARY}.get(action.kind, _DISCRETE)
        if self.spec.components:
            kind = MIXTURE
        low = np.array(action.low or [0.0], np.float64)
        high = np.array(action.high or [0.0], np.float64)
        sizes = np.array(action.sizes, np.int64)
        self._head = (kind, sizes, low, high, action.center(), action.reach())

        self._decoded = np.zeros(len(action.sizes))
        plain = action.kind == "box" and action.dtype.startswith("float") and len(action.shape) == 1
        self._plain_dtype = np.dtype(action.dtype) if plain else None

    @property
    def compiled_arguments(self) -> tuple[Any, ...]:
        """The arguments with which compiled rollouts call the kernel `act`."""
        return (
            self.parameters,
            self._sizes,
            self.observation_mean,
            self.observation_inverse_std,
            self._hidden,
            self._head,
            self.spec.sampled,
            self._decoded,
        )

    def act(self, observation: NDArray[np.float32], key: int = 0, step: int = 0) -> Any:
        """The action for one flat observation.

        Args:
            observation: (observation_dim,) float32.
            key: stream of the sampled actions; unused when the policy is deterministic.
            step: number of the step in its episode, which numbers the draws.

        Returns:
            An int for a discrete space, otherwise an array of the action's shape and dtype.
        """
        act(
            self.parameters,
            self._sizes,
            observation,
            self.observation_mean,
            self.observation_inverse_std,
            self._hidden,
            self._head,
            self.spec.sampled,
            np.uint64(key),
            np.uint64(step),
            self._decoded,
        )
        return self.decoded()

    def decoded(self) -> Any:
        """The action that the kernel `act` wrote last in the environment's form, a new array."""
        if self._plain_dtype is not None:
            return self._decoded.astype(self._plain_dtype)

        action = self.spec.action
        if action.kind == "discrete":
            return int(self._decoded[0]) + action.starts[0]

        values = self._decoded if action.dtype.startswith("float") else np.rint(self._decoded)
        values = values.astype(action.dtype)
        if action.starts:
            values += np.array(action.starts, values.dtype)

        return values.reshape(action.shape)


@kernel
def _draw_normal(key: np.uint64, counter: np.uint64) -> float:
    """A standard normal number from two draws of a stream, by Box and Muller's transform."""
    radius = np.sqrt(-2.0 * np.log(1.0 - draw_unit(key, counter)))
    return float(radius * np.cos(2.0 * np.pi * draw_unit(key, counter + np.uint64(1))))


@kernel
def action_noise(key: np.uint64, num_steps: int, num_outputs: int) -> NDArray[np.float64]:
    """The standard normal numbers in the actions of one episode of a sampled box policy,
    (num_steps, num_outputs).

    Before it is clipped, an action is ``outputs + exp(log_stds) * noise`` in the policy's units.
    """
    noise = np.empty((num_steps, num_outputs))
    for step in range(num_steps):
        counter = np.uint64(step) * np.uint64(2 * num_outputs)
        for k in range(num_outputs):
            noise[step, k] = _draw_normal(key, counter + np.uint64(2 * k))
    return noise


@kernel
def _choose(
    outputs: NDArray[np.float32],
    first: int,
    count: int,
    sampled: bool,
    key: np.uint64,
    counter: np.uint64,
) -> int:
    """The first of the largest of ``count`` outputs from number ``first`` on; if sampled, a draw
    from their softmax by Gumbel's trick.
    """
    best = 0
    best_value = -np.inf
    for k in range(count):
        value = np.float64(outputs[first + k])
        if sampled:
            number = counter + np.uint64(first + k)
            value -= np.log(-np.log(draw_unit(key, number) + 1e-300))
        if value > best_value:
            best = k
            best_value = value
    return best


@kernel
def draw_component(
    outputs: NDArray[np.float32],
    head: tuple[Any, ...],
    sampled: bool,
    key: np.uint64,
    counter: np.uint64,
    action: Any,
) -> None:
    """`decode` for a mixture."""
    _, _, low, high, center, reach = head
    size = action.size
    components = outputs.size // (1 + 2 * size)
    best = _choose(outputs, 0, components, sampled, key, counter)

    counter += np.uint64(components)
    for k in range(size):
        value = np.float64(outputs[components + best * size + k])
        if sampled:
            log_std = np.float64(outputs[components * (1 + size) + best * size + k])
            value += np.exp(min(max(log_std, LEAST_LOG_STD), MOST_LOG_STD)) * _draw_normal(
                key, counter + np.uint64(2 * k)
            )

        action[k] = min(max(center[k] + reach[k] * value, low[k]), high[k])


@kernel
def act(
    parameters: NDArray[np.float32],
    sizes: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    head: tuple[Any, ...],
    sampled: bool,
    key: np.uint64,
    step: np.uint64,
    action: NDArray[np.float64],
) -> None:
    """Write the policy's action to ``action``, one number per choice.

    A box output of -1 .. 1 spans the space's bounds and is clipped to them; an unbounded coordinate
    is used unchanged. A discrete choice is the first of the largest outputs or, if sampled, a draw
    from the softmax. A mixture uses the mean of its most likely component; if sampled, it draws a
    component, and then an action from that.
    """
    outputs, offset = forward(parameters, sizes, observation, mean, inverse_std, hidden)
    decode(outputs, parameters[offset:], head, sampled, key, step, action)


@kernel
def decode(
    outputs: NDArray[np.float32],
    log_stds: NDArray[np.float32],
    head: tuple[Any, ...],
    sampled: bool,
    key: np.uint64,
    step: np.uint64,
    action: NDArray[np.float64],
) -> None:
    """Turn the network's outputs into an action, see `act`.

    Args:
        outputs: (num_outputs,).
        log_stds: (num_outputs,) of a sampled box policy, otherwise unused.
        head: the kind of space, the sizes of the choices, and the bounds.
        sampled, key, step, action: see `act`.
    """
    kind, choice_sizes, low, high, center, reach = head
    counter = step * np.uint64(2 * outputs.size)

    if kind == BOX:
        for k in range(action.size):
            value = np.float64(outputs[k])
            if sampled:
                value += np.exp(np.float64(log_stds[k])) * _draw_normal(
                    key, counter + np.uint64(2 * k)
                )

            action[k] = min(max(center[k] + reach[k] * value, low[k]), high[k])

    elif kind == MIXTURE:
        draw_component(outputs, head, sampled, key, counter, action)

    elif kind == MULTI_BINARY:
        for k in range(action.size):
            value = np.float64(outputs[k])
            if sampled:
                value = 1.0 / (1.0 + np.exp(-value)) - draw_unit(key, counter + np.uint64(k))
            action[k] = 1.0 if value > 0.0 else 0.0

    else:
        first = 0
        for choice in range(action.size):
            size = choice_sizes[choice]
            action[choice] = _choose(outputs, first, size, sampled, key, counter)
            first += size
