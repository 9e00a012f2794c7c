"""The outputs of a network for one input, in compiled code.

The parameters are one vector, laid out as `layers` says. With rows by input, the inner loop runs
over outputs without reordering a sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.policies.convolution import convolve, convolve_reference
from esengine.policies.layer_kernels import (
    LEAST_VARIANCE,
    activate,
    dense,
    fast_tanh,
    normalize,
    update_gru,
    update_lstm,
)
from esengine.policies.layers import (
    CONVOLUTION,
    DENSE,
    ELU,
    GRU,
    IDENTITY,
    JOIN,
    LAYER_NORM,
    RELU,
    SPLIT,
    TANH,
    Layer,
    state_size_of,
    table_of,
    width_of,
)

Network = tuple[
    NDArray[np.int64],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float32],
]
"""What kernels read of a network beside its parameters, from `network_of`."""

OBSERVATION_CLIP = np.float32(5.0)  # normalised observations, as in arXiv 1703.03864
_UNBOUNDED = np.float32(np.inf)


def network_of(
    layers: Sequence[Layer], mean: NDArray[np.float32], inverse_std: NDArray[np.float32]
) -> Network:
    """What kernels read of a network: its table of layers, the scaling of its inputs, four rows of
    working memory, and its state, which is zero.

    Args:
        layers: the first one first.
        mean, inverse_std: (num_inputs,) float32.
    """
    hidden = np.zeros((4, width_of(layers)), np.float32)
    state = np.zeros(state_size_of(layers), np.float32)
    return table_of(layers), mean, inverse_std, hidden, state


@kernel(inline="always")
def input_bound(mean: np.float32, inverse_std: np.float32) -> np.float32:
    """The largest absolute value of a scaled input: none for one that is taken as it is."""
    if mean == np.float32(0.0) and inverse_std == np.float32(1.0):
        return _UNBOUNDED
    return OBSERVATION_CLIP


def input_bounds(
    mean: NDArray[np.float32], inverse_std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """NumPy twin of `input_bound`, for all inputs: (num_inputs,) float32."""
    raw = (mean == 0) & (inverse_std == 1)
    return np.where(raw, _UNBOUNDED, OBSERVATION_CLIP)


@kernel
def scale_inputs(
    inputs: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    scaled: NDArray[np.float32],
) -> None:
    """Write the scaled and clipped inputs to ``scaled``, (num_inputs,) or longer."""
    for k in range(mean.size):
        value = (inputs[k] - mean[k]) * inverse_std[k]
        bound = input_bound(mean[k], inverse_std[k])
        scaled[k] = min(max(value, -bound), bound)


@kernel
def _split(
    layer: NDArray[np.int64],
    inputs: NDArray[np.float32],
    picture: NDArray[np.float32],
    beside: NDArray[np.float32],
) -> None:
    """Copy the picture in a network's inputs to one place, and the numbers beside it to another."""
    begin = layer[10]
    end = begin + picture.size
    for k in range(layer[1]):
        if k < begin:
            beside[k] = inputs[k]
        elif k < end:
            picture[k - begin] = inputs[k]
        else:
            beside[k - picture.size] = inputs[k]


@kernel
def _num_pixels(layer: NDArray[np.int64]) -> int:
    """Pixels of what a convolution gives."""
    rows = (layer[4] - layer[7]) // layer[8] + 1
    return int(rows * ((layer[5] - layer[7]) // layer[8] + 1))


@kernel
def forward(
    parameters: NDArray[np.float32],
    table: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    state: NDArray[np.float32],
) -> tuple[NDArray[np.float32], int]:
    """The outputs of the network as a view into ``hidden``, and the number of parameters read. The
    state of recurrent layers moves on by one step.

    Arrays are arguments of their own, since every array that is taken out of a tuple is counted as
    a reference, which takes as long as a small layer.

    Args:
        parameters: flat, see `layers`.
        table, mean, inverse_std, hidden, state: from `network_of`.
        observation: (num_inputs,).
    """
    scale_inputs(observation, mean, inverse_std, hidden[0])

    offset = 0
    remembered = 0
    num_layers = table.shape[0]
    for layer in range(num_layers):
        kind, inputs, width = table[layer, 0], table[layer, 1], table[layer, 2]
        outputs = hidden[(layer + 1) % 2][:width]

        if kind == DENSE:
            size = (inputs + 1) * width
            dense(parameters[offset : offset + size], hidden[layer % 2], inputs, outputs)
            offset += size
        else:
            read, carried = _other_layer(
                parameters[offset:], table[layer], hidden, layer % 2, state[remembered:]
            )
            offset += read
            remembered += carried

        activation = table[layer, 3]
        if activation == TANH:
            for k in range(outputs.size):
                outputs[k] = fast_tanh(outputs[k])
        elif activation != IDENTITY:
            activate(activation, outputs)

    return hidden[num_layers % 2][: table[num_layers - 1, 2]], offset


@kernel
def _other_layer(
    parameters: NDArray[np.float32],
    layer: NDArray[np.int64],
    hidden: NDArray[np.float32],
    here: int,
    state: NDArray[np.float32],
) -> tuple[int, int]:
    """A layer that is not dense, from row ``here`` of ``hidden`` to the other one of the first two;
    returns how many parameters and how many numbers of the state are its own.

    Args:
        parameters, state: from its own on.
        layer: its row of the table.
        hidden: working memory.
    """
    kind, inputs, width = layer[0], layer[1], layer[2]
    values = hidden[here]
    outputs = hidden[1 - here][:width]

    if kind == CONVOLUTION:
        size = (layer[7] * layer[7] * layer[6] + 1) * (width // _num_pixels(layer))
        convolve(parameters[:size], layer, values, hidden[2], outputs)
        return size, 0

    if kind == SPLIT:
        _split(layer, values, outputs, hidden[3])
        return 0, 0

    if kind == JOIN:
        for k in range(width):
            outputs[k] = values[k] if k < inputs else hidden[3, k - inputs]
        return 0, 0

    if kind == LAYER_NORM:
        for k in range(width):
            outputs[k] = values[k]
        normalize(parameters[: 2 * width], outputs)
        return 2 * width, 0

    gates = width * (3 if kind == GRU else 4)
    own = state[: width if kind == GRU else 2 * width]
    first = (inputs + 1) * gates
    second = first + (width + 1) * gates
    dense(parameters[:first], values, inputs, hidden[2][:gates])
    dense(parameters[first:second], own, width, hidden[3][:gates])
    if kind == GRU:
        update_gru(hidden[2][:gates], hidden[3][:gates], own)
    else:
        update_lstm(hidden[2][:gates], hidden[3][:gates], own)
    for k in range(width):
        outputs[k] = own[k]
    return second, own.size


def forward_reference(
    parameters: NDArray[np.float32],
    layers: Sequence[Layer],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    state: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """NumPy twin of `forward`, with the library's functions, for one observation or for rows of
    them; ``state``, (..., state_size), is overwritten.
    """
    bounds = input_bounds(mean, inverse_std)
    values: NDArray[np.float32] = np.clip((observation - mean) * inverse_std, -bounds, bounds)
    beside = values[..., :0]
    offset = remembered = 0
    for layer in layers:
        own = parameters[offset : offset + layer.num_parameters]
        offset += layer.num_parameters
        if layer.kind == LAYER_NORM:
            centered = values - values.mean(-1, keepdims=True)
            deviations = np.sqrt(centered.var(-1, keepdims=True) + LEAST_VARIANCE)
            values = centered / deviations * own[: layer.outputs] + own[layer.outputs :]
        elif layer.kind == SPLIT:
            end = layer.offset + layer.outputs
            beside = np.delete(values, np.s_[layer.offset : end], axis=-1)
            values = values[..., layer.offset : end]
        elif layer.kind == JOIN:
            values = np.concatenate([values, beside], axis=-1)
        elif layer.kind == CONVOLUTION:
            values = convolve_reference(own, layer, values)
        elif layer.kind == DENSE:
            values = _affine(own, layer.shapes[0], values)
        else:
            assert state is not None
            memory = state[..., remembered : remembered + layer.state_size]
            values = _recur(layer, own, values, memory)
            remembered += layer.state_size

        if layer.activation != IDENTITY:
            values = _ACTIVATIONS[layer.activation](values)

    return values


def _affine(
    parameters: NDArray[np.float32], shape: tuple[int, int], values: NDArray[np.float32]
) -> NDArray[np.float32]:
    size = math.prod(shape)
    return values @ parameters[:size].reshape(shape) + parameters[size : size + shape[1]]


def _recur(
    layer: Layer,
    parameters: NDArray[np.float32],
    values: NDArray[np.float32],
    state: NDArray[np.float32],
) -> NDArray[np.float32]:
    """NumPy twin of `update_gru` and `update_lstm` with their dense parts; returns the outputs."""
    first, second = layer.shapes
    split = (first[0] + 1) * first[1]
    h = state[..., : layer.outputs]
    inputs = np.split(_affine(parameters[:split], first, values), layer.num_gates, axis=-1)
    states = np.split(_affine(parameters[split:], second, h), layer.num_gates, axis=-1)
    if layer.kind == GRU:
        r, z = (_logistic(x + u) for x, u in zip(inputs[:2], states[:2], strict=True))
        c = np.tanh(inputs[2] + r * states[2])
        state[...] = (1 - z) * c + z * h
        return state.copy()

    i, f, g, o = (x + u for x, u in zip(inputs, states, strict=True))
    memory = _logistic(f) * state[..., layer.outputs :] + _logistic(i) * np.tanh(g)
    state[..., layer.outputs :] = memory
    state[..., : layer.outputs] = _logistic(o) * np.tanh(memory)
    return state[..., : layer.outputs].copy()


def _logistic(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-x)), np.float32)


_ACTIVATIONS: dict[int, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    TANH: np.tanh,
    RELU: lambda x: np.maximum(x, np.float32(0)),
    ELU: lambda x: np.where(x > 0, x, np.expm1(x)),
}
