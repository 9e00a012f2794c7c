"""Policies as one flat float32 vector, acting in compiled code at a batch of one.

Layout of the vector: for each layer its weights, (inputs, outputs) row by row, then its biases; a
sampled box policy ends with one log standard deviation an action. A mixture puts out, for each
component, its logit, its mean and its log standard deviations. Rows by input let the inner loop run
over outputs without reordering a sum.
"""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.spaces import ActionSpec
from esengine.errors import UserError
from esengine.seeding import derive_key, draw_unit, generator

BOX, _DISCRETE, MULTI_BINARY, MIXTURE = 0, 1, 2, 3
OBSERVATION_CLIP = np.float32(5.0)  # normalised observations, as in arXiv 1703.03864
LEAST_LOG_STD, MOST_LOG_STD = (
    -4.0,
    2.0,
)  # of a mixture's components, which collapse on single actions otherwise


@dataclass(frozen=True)
class PolicySpec:
    """The architecture of a policy.

    Attributes:
        observation_dim: length of the flat observation.
        action: the head.
        hidden_sizes: units of each tanh layer; empty for a linear policy.
        sampled: draw actions from the policy's distribution instead of taking its mode.
        components: normal distributions that a box action is a mixture of, or 0 for a single mean.
    """

    observation_dim: int
    action: ActionSpec
    hidden_sizes: tuple[int, ...] = ()
    sampled: bool = False
    components: int = 0

    @property
    def num_outputs(self) -> int:
        return (
            self.components * (1 + 2 * self.action.num_outputs)
            if self.components
            else self.action.num_outputs
        )

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        return (self.observation_dim, *self.hidden_sizes, self.num_outputs)

    @property
    def num_parameters(self) -> int:
        sizes = self.layer_sizes
        weights = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(sizes))
        return weights + (self.num_log_stds if self.sampled else 0)

    @property
    def num_log_stds(self) -> int:
        return self.action.num_outputs if self.action.kind == "box" and not self.components else 0

    def initial_parameters(self, seed: int) -> NDArray[np.float32]:
        """A start for the search, (num_parameters,) float32: zero for a linear policy, else scaled
        normal weights.

        Hidden weights have standard deviation 1 / sqrt(inputs), biases and the output layer are
        zero.
        """
        parameters = np.zeros(self.num_parameters, np.float32)
        random = generator(derive_key(seed, "initial parameters"))
        offset, sizes = 0, self.layer_sizes
        for inputs, outputs in itertools.pairwise(sizes[:-1]):
            weights = random.standard_normal(inputs * outputs) / np.sqrt(inputs)
            parameters[offset : offset + weights.size] = weights
            offset += (inputs + 1) * outputs
        return parameters

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Actor:
    """A policy with its parameters and observation scaling, ready to act.

    Args:
        spec: the architecture.
        parameters: (num_parameters,) float32; a view is kept, so the caller may refill it in place.
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
        action = self.spec.action
        if self.parameters.shape != (self.spec.num_parameters,):
            raise UserError(
                f"a policy of layers {self.spec.layer_sizes} must have {self.spec.num_parameters} "
                f"parameters, "
                f"got {self.parameters.shape}; use the policy file's own architecture"
            )
        self._sizes = np.array(self.spec.layer_sizes, np.int64)
        self._hidden = np.zeros((2, max(self.spec.layer_sizes)), np.float32)
        kind = (
            MIXTURE
            if self.spec.components
            else {"box": BOX, "multi-binary": MULTI_BINARY}.get(action.kind, _DISCRETE)
        )
        low = np.array(action.low or [0.0], np.float64)
        high = np.array(action.high or [0.0], np.float64)
        bounded = np.isfinite(low) & np.isfinite(high)
        center, reach = np.zeros(low.size), np.ones(low.size)
        center[bounded] = (low[bounded] + high[bounded]) / 2
        reach[bounded] = (high[bounded] - low[bounded]) / 2
        self._head = (kind, np.array(action.sizes, np.int64), low, high, center, reach)
        self._decoded = np.zeros(len(action.sizes))
        plain = action.kind == "box" and action.dtype.startswith("float") and len(action.shape) == 1
        self._plain_dtype = np.dtype(action.dtype) if plain else None

    @property
    def compiled_arguments(self) -> tuple[Any, ...]:
        """What compiled rollouts need to call the kernel `act`."""
        scaling = (self.observation_mean, self.observation_inverse_std)
        return (
            self.parameters,
            self._sizes,
            *scaling,
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
            step: number of the step in its episode, the draw's counter.

        Returns:
            An int for a discrete space, else an array of the action's shape and dtype.
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
        """The action that the kernel `act` wrote last, as the environment takes it; a new array
        each time.
        """
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


@kernel(inline="always")
def fast_tanh(x: np.float32) -> np.float32:
    """tanh to 4e-7, a rational function in x^2 fitted on [-8, 8] with relative error 7e-9 before
    rounding.
    """
    x = min(max(x, np.float32(-7.99)), np.float32(7.99))
    y = x * x
    p = np.float32(2.1907722839387134e-05) + y * np.float32(1.525037873761903e-08)
    p = np.float32(1.0) + y * (
        np.float32(0.134451225399971) + y * (np.float32(0.003572351299226284) + y * p)
    )
    q = np.float32(0.0003412549558561295) + y * np.float32(8.530182640242856e-07)
    q = np.float32(1.0) + y * (
        np.float32(0.46778449416160583) + y * (np.float32(0.02616727538406849) + y * q)
    )
    return x * p / q


@kernel
def dense(
    weights: NDArray[np.float32],
    inputs: NDArray[np.float32],
    num_inputs: int,
    outputs: NDArray[np.float32],
) -> None:
    """One layer: ``outputs = biases + inputs @ weights``, each output summed in the order of
    inputs.

    Four inputs a pass, so that the outputs are loaded and stored a quarter as often; unsigned
    indices, since a signed one may wrap around and keeps the loop from being vectorised.

    Args:
        weights: (num_inputs * width + width,) the layer's weights by input, then its biases.
        inputs: (num_inputs,) or longer.
        num_inputs: number of inputs.
        outputs: (width,) overwritten.
    """
    width = np.uintp(outputs.size)
    biases = weights[num_inputs * outputs.size :]
    for j in range(outputs.size):
        outputs[j] = biases[j]
    base = np.uintp(0)
    grouped = num_inputs - num_inputs % 4
    for i in range(0, grouped, 4):
        v0, v1, v2, v3 = inputs[i], inputs[i + 1], inputs[i + 2], inputs[i + 3]
        r1, r2, r3 = base + width, base + width + width, base + width + width + width
        for j in range(width):
            first = (outputs[j] + v0 * weights[base + j]) + v1 * weights[r1 + j]
            outputs[j] = (first + v2 * weights[r2 + j]) + v3 * weights[r3 + j]
        base += np.uintp(4) * width
    for i in range(grouped, num_inputs):
        value = inputs[i]
        for j in range(width):
            outputs[j] += value * weights[base + j]
        base += width


@kernel
def forward(
    parameters: NDArray[np.float32],
    sizes: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
) -> tuple[NDArray[np.float32], int]:
    """Outputs of the network as a view into ``hidden``, and the number of parameters read.

    Args:
        parameters: flat, see the module's layout.
        sizes: (num_layers + 1,) units of each layer, the observation first.
        observation, mean, inverse_std: (sizes[0],).
        hidden: (2, max(sizes)) working memory.
    """
    scaled = hidden[0]
    for k in range(sizes[0]):
        value = (observation[k] - mean[k]) * inverse_std[k]
        scaled[k] = min(max(value, -OBSERVATION_CLIP), OBSERVATION_CLIP)
    offset = 0
    num_layers = sizes.size - 1
    for layer in range(num_layers):
        outputs = hidden[(layer + 1) % 2][: sizes[layer + 1]]
        size = (sizes[layer] + 1) * sizes[layer + 1]
        dense(parameters[offset : offset + size], hidden[layer % 2], sizes[layer], outputs)
        if layer < num_layers - 1:
            for j in range(outputs.size):
                outputs[j] = fast_tanh(outputs[j])
        offset += size
    return hidden[num_layers % 2][: sizes[num_layers]], offset


def forward_reference(
    parameters: NDArray[np.float32],
    sizes: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
) -> NDArray[np.float32]:
    """NumPy twin of `forward`, with the library's tanh."""
    values: NDArray[np.float32] = np.clip(
        (observation - mean) * inverse_std, -OBSERVATION_CLIP, OBSERVATION_CLIP
    )
    offset = 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weights = parameters[offset : offset + inputs * outputs].reshape(inputs, outputs)
        offset += inputs * outputs
        values = values @ weights + parameters[offset : offset + outputs]
        offset += outputs
        if layer < sizes.size - 2:
            values = np.tanh(values)
    return values


@kernel
def _draw_normal(key: np.uint64, counter: np.uint64) -> float:
    """The standard normal number of two draws of a stream, by Box and Muller's transform."""
    radius = np.sqrt(-2.0 * np.log(1.0 - draw_unit(key, counter)))
    return float(radius * np.cos(2.0 * np.pi * draw_unit(key, counter + np.uint64(1))))


@kernel
def action_noise(key: np.uint64, num_steps: int, num_outputs: int) -> NDArray[np.float64]:
    """The standard normal numbers behind the actions of one episode of a sampled box policy,
    (num_steps, num_outputs).

    An action is ``outputs + exp(log_stds) * noise`` in the policy's units before it is clipped to
    its bounds.
    """
    noise = np.empty((num_steps, num_outputs))
    for step in range(num_steps):
        counter = np.uint64(step) * np.uint64(2 * num_outputs)
        for k in range(num_outputs):
            noise[step, k] = _draw_normal(key, counter + np.uint64(2 * k))
    return noise


@kernel
def draw_component(
    outputs: NDArray[np.float32],
    head: tuple[Any, ...],
    sampled: bool,
    key: np.uint64,
    counter: np.uint64,
    action: Any,
) -> None:
    """`decode` for a mixture: outputs are the logits, then all means, then all log standard
    deviations.
    """
    _, _, low, high, center, reach = head
    size = action.size
    components = outputs.size // (1 + 2 * size)
    best, best_value = 0, -np.inf
    for c in range(components):
        value = np.float64(outputs[c])
        if sampled:
            value -= np.log(-np.log(draw_unit(key, counter + np.uint64(c)) + 1e-300))
        if value > best_value:
            best, best_value = c, value
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
    """Write the action that the policy takes into ``action``, one number a choice.

    A box output of -1 .. 1 spans the space's bounds and is clipped to them; an unbounded coordinate
    is taken as it is. A discrete choice takes its largest output, the first of equal ones; sampled,
    it draws from the softmax (Gumbel's trick). A mixture takes the mean of its most likely
    component; sampled, it draws a component and then from that.
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
        head: kind of space, sizes of the choices, bounds.
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
            best, best_value = 0, -np.inf
            for k in range(choice_sizes[choice]):
                value = np.float64(outputs[first + k])
                if sampled:
                    value -= np.log(
                        -np.log(draw_unit(key, counter + np.uint64(first + k)) + 1e-300)
                    )
                if value > best_value:
                    best, best_value = k, value
            action[choice] = best
            first += choice_sizes[choice]
