"""What single layers compute, in compiled code.

The loops over units are the same functions for one member and for many in lanes: ``values`` is then
(units, lanes) flat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.policies.layers import ELU, RELU, TANH

OBSERVATION_CLIP = np.float32(5.0)  # normalised observations, as in arXiv 1703.03864
UNBOUNDED = np.float32(np.inf)
LEAST_VARIANCE = np.float32(1e-5)  # added in layer norms, as in torch


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


@kernel(inline="always")
def sigmoid(x: np.float32) -> np.float32:
    """The logistic function by `fast_tanh`."""
    return np.float32(0.5) + np.float32(0.5) * fast_tanh(np.float32(0.5) * x)


@kernel(inline="always")
def input_bound(mean: np.float32, inverse_std: np.float32) -> np.float32:
    """The largest absolute value of a scaled input: none for one that is taken as it is."""
    if mean == np.float32(0.0) and inverse_std == np.float32(1.0):
        return UNBOUNDED
    return OBSERVATION_CLIP


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
