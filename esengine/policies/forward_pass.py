"""The outputs of a tanh network for one input, in compiled code.

The parameters are one vector, laid out as `network` says. With rows by input, the inner loop runs
over outputs without reordering a sum.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel

OBSERVATION_CLIP = np.float32(5.0)  # normalised observations, as in arXiv 1703.03864
_UNBOUNDED = np.float32(np.inf)


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
def forward(
    parameters: NDArray[np.float32],
    sizes: NDArray[np.int64],
    observation: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
) -> tuple[NDArray[np.float32], int]:
    """The outputs of the network as a view into ``hidden``, and the number of parameters read.

    Args:
        parameters: flat, see the module's docstring.
        sizes: (num_layers + 1,) units of each layer, the observation first.
        observation, mean, inverse_std: (sizes[0],).
        hidden: (2, max(sizes)) working memory.
    """
    scaled = hidden[0]
    for k in range(sizes[0]):
        value = (observation[k] - mean[k]) * inverse_std[k]
        bound = input_bound(mean[k], inverse_std[k])
        scaled[k] = min(max(value, -bound), bound)

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
    bounds = input_bounds(mean, inverse_std)
    values: NDArray[np.float32] = np.clip((observation - mean) * inverse_std, -bounds, bounds)
    offset = 0
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        weights = parameters[offset : offset + inputs * outputs].reshape(inputs, outputs)
        offset += inputs * outputs
        values = values @ weights + parameters[offset : offset + outputs]
        offset += outputs
        if layer < sizes.size - 2:
            values = np.tanh(values)

    return values
