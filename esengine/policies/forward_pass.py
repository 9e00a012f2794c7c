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
from esengine.compiled.addresses import call_at, data_of, floats_at
from esengine.policies.convolution import convolve_reference
from esengine.policies.layer_kernels import (
    LEAST_VARIANCE,
    OBSERVATION_CLIP,
    UNBOUNDED,
    dense,
    fast_tanh,
    input_bound,
)
from esengine.policies.layers import (
    ADDRESS,
    CONVOLUTION,
    DENSE,
    ELU,
    GRU,
    IDENTITY,
    JOIN,
    LAYER_NORM,
    NUM_COLUMNS,
    NUM_PARAMETERS,
    RELU,
    SPLIT,
    STATE_SIZE,
    TANH,
    Layer,
)


def input_bounds(
    mean: NDArray[np.float32], inverse_std: NDArray[np.float32]
) -> NDArray[np.float32]:
    """NumPy twin of `input_bound`, for all inputs: (num_inputs,) float32."""
    raw = (mean == 0) & (inverse_std == 1)
    return np.where(raw, UNBOUNDED, OBSERVATION_CLIP)


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
def forward(
    parameters: NDArray[np.float32],
    table: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
    state: NDArray[np.float32],
) -> tuple[NDArray[np.float32], int]:
    """The outputs of the network as a view into ``hidden``, which must live longer, and the number
    of parameters read. The state of recurrent layers moves on by one step.

    Arrays are arguments of their own and are read by their addresses, since counting a reference to
    an array takes as long as a small layer.

    Args:
        parameters: flat, see `layers`.
        table, mean, inverse_std, hidden, state: of a `Network`.
        observation: (num_inputs,).
    """
    own, work, memory = data_of(parameters), data_of(hidden), data_of(state)
    scale_inputs(observation, mean, inverse_std, floats_at(work, mean.size))

    offset = 0
    num_layers = table.shape[0]
    for layer in range(num_layers):
        count, width, size = table[layer, 1], table[layer, 2], table[layer, NUM_PARAMETERS]
        here, there = layer % 2, (layer + 1) % 2

        if table[layer, ADDRESS]:
            kind = data_of(table) + 8 * NUM_COLUMNS * layer
            call_at(table[layer, ADDRESS], (kind, own, work, hidden.shape[1], here, memory))
            memory += 4 * table[layer, STATE_SIZE]
        else:
            inputs = floats_at(work + 4 * here * hidden.shape[1], count)
            outputs = floats_at(work + 4 * there * hidden.shape[1], width)
            dense(floats_at(own, size), inputs, count, outputs)
            if table[layer, 3] == TANH:
                for k in range(width):
                    outputs[k] = fast_tanh(outputs[k])
        own += 4 * size
        offset += size

    last = work + 4 * (num_layers % 2) * hidden.shape[1]
    return floats_at(last, table[num_layers - 1, 2]), offset


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
