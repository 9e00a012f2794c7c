"""Layers whose machine code is compiled apart from the kernels that reach it, when a network first
has one.

Numba compiles what a kernel calls into the kernel, again in each of its callers. Most networks are
dense layers of tanh units, and their kernels would take half as long again to compile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import carray
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.compiled.addresses import address_of, floats_at, pointer_at
from esengine.policies.convolution import convolve
from esengine.policies.lanes import other_layer_in_lanes
from esengine.policies.layer_kernels import activate, dense, normalize, update_gru, update_lstm
from esengine.policies.layers import (
    CONVOLUTION,
    DENSE,
    GRU,
    JOIN,
    LAYER_NORM,
    NUM_COLUMNS,
    NUM_PARAMETERS,
    SPLIT,
    STATE_SIZE,
    Layer,
    state_size_of,
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

_NUM_ARGUMENTS = 6  # of `other_layer`


def network_of(
    layers: Sequence[Layer], mean: NDArray[np.float32], inverse_std: NDArray[np.float32]
) -> Network:
    """What kernels read of a network: its table of layers, the scaling of its inputs, four rows of
    working memory, and its state, which is zero.

    The table has a row for each layer: the fields of `Layer`, and then the columns that `layers`
    names. It is good in this process and its forks.

    Args:
        layers: the first one first.
        mean, inverse_std: (num_inputs,) float32.
    """
    rows = [
        (*layer, layer.num_parameters, layer.state_size, *_addresses(layer)) for layer in layers
    ]
    table = np.array(rows, np.int64).reshape(-1, NUM_COLUMNS)
    hidden = np.zeros((4, width_of(layers)), np.float32)
    state = np.zeros(state_size_of(layers), np.float32)
    return table, mean, inverse_std, hidden, state


def _addresses(layer: Layer) -> tuple[int, int]:
    if not layer.is_apart:
        return 0, 0
    functions = (other_layer, other_layer_in_lanes)
    one, many = (address_of(function, _NUM_ARGUMENTS) for function in functions)
    return one, many


def other_layer(
    layer: int, parameters: int, hidden: int, longest: int, here: int, state: int
) -> None:
    """A layer that is compiled apart, from row ``here`` of ``hidden`` to the other one of the first
    two.

    Args:
        layer: address of its row of the table.
        parameters, state: addresses of its own parts of the network's.
        hidden: address of the working memory, (4, longest) float32.
        longest, here: integers.
    """
    row = carray(pointer_at(layer), (NUM_COLUMNS,), np.int64)
    kind, inputs, width = row[0], row[1], row[2]
    own = floats_at(parameters, row[NUM_PARAMETERS])
    memory = floats_at(state, row[STATE_SIZE])
    work = carray(pointer_at(hidden), (4, longest), np.float32)
    values, outputs = work[here], work[1 - here][:width]

    if kind == DENSE:
        dense(own, values, inputs, outputs)
    elif kind == CONVOLUTION:
        convolve(own, row, values, work[2], outputs)
    elif kind == SPLIT:
        _split(row, values, outputs, work[3])
    elif kind == JOIN:
        for k in range(width):
            outputs[k] = values[k] if k < inputs else work[3, k - inputs]
    elif kind == LAYER_NORM:
        for k in range(width):
            outputs[k] = values[k]
        normalize(own, outputs)
    else:
        gates = width * (3 if kind == GRU else 4)
        first = (inputs + 1) * gates
        from_input, from_state = work[2][:gates], work[3][:gates]
        dense(own[:first], values, inputs, from_input)
        dense(own[first:], memory, width, from_state)
        if kind == GRU:
            update_gru(from_input, from_state, memory)
        else:
            update_lstm(from_input, from_state, memory)
        for k in range(width):
            outputs[k] = memory[k]

    activate(row[3], outputs)


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
