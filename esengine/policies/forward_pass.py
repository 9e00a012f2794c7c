"""The outputs of a network for one input, in compiled code.

The parameters are one vector, laid out as `layers` says. With rows by input, the inner loop runs
over outputs without reordering a sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.policies.convolution import convolve, convolve_reference
from esengine.policies.layers import (
    CONVOLUTION,
    DENSE,
    ELU,
    GRU,
    IDENTITY,
    LAYER_NORM,
    RELU,
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
LEAST_VARIANCE = np.float32(1e-5)  # added in layer norms, as in torch
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


@kernel(inline="always")
def fast_tanh(x: np.float32) -> np.float32:
    """tanh with error 4e-7, by a rational function in x^2 that was fitted on [-8, 8] with relative
    error 7e-9 before rounding.
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
    """One layer: ``outputs = biases + inputs @ weights``, summed in the order of inputs.

    A pass adds four inputs, so that the outputs are loaded and stored a quarter as often. Indices
    are unsigned, since signed ones may wrap around, which prevents vectorisation.

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
        v0 = inputs[i]
        v1 = inputs[i + 1]
        v2 = inputs[i + 2]
        v3 = inputs[i + 3]
        r1 = base + width
        r2 = base + width + width
        r3 = base + width + width + width

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
def normalize(parameters: NDArray[np.float32], values: NDArray[np.float32]) -> None:
    """Layer norm in place: mean 0 and variance 1 over ``values``, then gains and biases (2 n,)."""
    n = values.size
    size = np.float32(n)
    mean = np.float32(0.0)
    for k in range(n):
        mean += values[k]
    mean /= size

    variance = np.float32(0.0)
    for k in range(n):
        variance += (values[k] - mean) * (values[k] - mean)
    scale = np.float32(1.0) / np.sqrt(variance / size + LEAST_VARIANCE)
    for k in range(n):
        values[k] = (values[k] - mean) * scale * parameters[k] + parameters[n + k]


@kernel(inline="always")
def sigmoid(x: np.float32) -> np.float32:
    """The logistic function by `fast_tanh`."""
    return np.float32(0.5) + np.float32(0.5) * fast_tanh(np.float32(0.5) * x)


@kernel
def activate(activation: int, values: NDArray[np.float32]) -> None:
    """Apply an activation in place; exp(x) - 1 of an ELU is 2 t / (1 - t) with t = tanh(x / 2)."""
    if activation == TANH:
        for k in range(values.size):
            values[k] = fast_tanh(values[k])
    elif activation == RELU:
        for k in range(values.size):
            values[k] = max(values[k], np.float32(0.0))
    elif activation == ELU:
        for k in range(values.size):
            t = fast_tanh(np.float32(0.5) * min(values[k], np.float32(0.0)))
            below = np.float32(2.0) * t / (np.float32(1.0) - t)
            values[k] = values[k] if values[k] > np.float32(0.0) else below


@kernel
def update_gru(
    from_input: NDArray[np.float32], from_state: NDArray[np.float32], state: NDArray[np.float32]
) -> None:
    """One step of a GRU (Cho et al. 2014, arXiv 1406.1078) in torch's form.

    Args:
        from_input, from_state: (3 n,) pre-activations of the gates reset, update and new.
        state: (n,) h, overwritten.
    """
    n = state.size
    r, z, c = from_input[:n], from_input[n : 2 * n], from_input[2 * n :]
    u_r, u_z, u_c = from_state[:n], from_state[n : 2 * n], from_state[2 * n :]
    for k in range(n):
        reset = sigmoid(r[k] + u_r[k])
        update = sigmoid(z[k] + u_z[k])
        new = fast_tanh(c[k] + reset * u_c[k])
        state[k] = new + update * (state[k] - new)


@kernel
def update_lstm(
    from_input: NDArray[np.float32], from_state: NDArray[np.float32], state: NDArray[np.float32]
) -> None:
    """One step of an LSTM (Hochreiter & Schmidhuber 1997) in torch's form.

    Args:
        from_input, from_state: (4 n,) pre-activations of the gates input, forget, cell and output.
        state: (2 n,) h and then c, overwritten.
    """
    n = state.size // 2
    h, memory = state[:n], state[n:]
    i, f, g, o = (
        from_input[:n],
        from_input[n : 2 * n],
        from_input[2 * n : 3 * n],
        from_input[3 * n :],
    )
    u_i, u_f, u_g, u_o = (
        from_state[:n],
        from_state[n : 2 * n],
        from_state[2 * n : 3 * n],
        from_state[3 * n :],
    )
    for k in range(n):
        kept = sigmoid(f[k] + u_f[k]) * memory[k]
        memory[k] = kept + sigmoid(i[k] + u_i[k]) * fast_tanh(g[k] + u_g[k])
        h[k] = sigmoid(o[k] + u_o[k]) * fast_tanh(memory[k])


@kernel
def _num_pixels(layer: NDArray[np.int64]) -> int:
    """Pixels of what a convolution gives."""
    rows = (layer[4] - layer[7]) // layer[8] + 1
    return int(rows * ((layer[5] - layer[7]) // layer[8] + 1))


@kernel
def forward(
    parameters: NDArray[np.float32], network: Any, observation: NDArray[np.float32]
) -> tuple[NDArray[np.float32], int]:
    """The outputs of the network as a view into its working memory, and the number of parameters
    read. The state of recurrent layers moves on by one step.

    Args:
        parameters: flat, see `layers`.
        network: from `network_of`.
        observation: (num_inputs,).
    """
    table, mean, inverse_std, hidden, state = network
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

        elif kind == CONVOLUTION:
            size = table[layer, 7] * table[layer, 7] * table[layer, 6]
            filters = width // _num_pixels(table[layer])
            own = parameters[offset : offset + (size + 1) * filters]
            convolve(own, table[layer], hidden[layer % 2], hidden[2], outputs)
            offset += (size + 1) * filters

        elif kind == LAYER_NORM:
            for k in range(width):
                outputs[k] = hidden[layer % 2, k]
            normalize(parameters[offset : offset + 2 * width], outputs)
            offset += 2 * width

        else:
            gates = width * (3 if kind == GRU else 4)
            own = state[remembered : remembered + (width if kind == GRU else 2 * width)]
            size = (inputs + 1) * gates
            dense(parameters[offset : offset + size], hidden[layer % 2], inputs, hidden[2][:gates])
            offset += size
            size = (width + 1) * gates
            dense(parameters[offset : offset + size], own, width, hidden[3][:gates])
            offset += size
            if kind == GRU:
                update_gru(hidden[2][:gates], hidden[3][:gates], own)
            else:
                update_lstm(hidden[2][:gates], hidden[3][:gates], own)
            for k in range(width):
                outputs[k] = own[k]
            remembered += own.size

        activate(table[layer, 3], outputs)

    return hidden[num_layers % 2][: table[num_layers - 1, 2]], offset


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
    offset = remembered = 0
    for layer in layers:
        own = parameters[offset : offset + layer.num_parameters]
        offset += layer.num_parameters
        if layer.kind == LAYER_NORM:
            centered = values - values.mean(-1, keepdims=True)
            deviations = np.sqrt(centered.var(-1, keepdims=True) + LEAST_VARIANCE)
            values = centered / deviations * own[: layer.outputs] + own[layer.outputs :]
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
