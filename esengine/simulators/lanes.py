"""The network of a policy in lanes: one member per lane, one vector register for each number.

Numba's own loops over 16 lanes spend more on checks whether arrays overlap than on the sums, so the
sums are written as vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.policies.forward_pass import input_bound
from esengine.policies.layer_kernels import (
    LEAST_VARIANCE,
    activate,
    fast_tanh,
    update_gru,
    update_lstm,
)
from esengine.policies.layers import DENSE, GRU, IDENTITY, LAYER_NORM, TANH

LANES = 16  # float32 numbers of a 512-bit register


def _make_dot(num_outputs: int) -> Any:
    """An intrinsic that adds ``inputs @ weights`` to ``num_outputs`` neighbouring outputs of a
    layer, whose sums stay in registers.
    """

    @intrinsic
    def dot(
        typing_context: Any, inputs: Any, weights: Any, count: Any, width: Any, outputs: Any
    ) -> Any:
        signature = types.void(*[types.intp] * 5)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), LANES)
            inputs, weights, count, width, outputs = arguments
            integer = inputs.type

            def place(address: Any, index: Any) -> Any:
                offset = builder.mul(index, ir.Constant(integer, 4 * LANES))
                return builder.inttoptr(builder.add(address, offset), vector.as_pointer())

            sums = [cgutils.alloca_once(builder, vector) for _ in range(num_outputs)]
            for k, total in enumerate(sums):
                builder.store(builder.load(place(outputs, ir.Constant(integer, k)), align=4), total)

            with cgutils.for_range(builder, count) as loop:
                value = builder.load(place(inputs, loop.index), align=4)
                row = builder.mul(loop.index, width)
                for k, total in enumerate(sums):
                    weight = builder.load(
                        place(weights, builder.add(row, ir.Constant(integer, k))), align=4
                    )
                    builder.store(
                        builder.fadd(builder.load(total), builder.fmul(value, weight)), total
                    )

            for k, total in enumerate(sums):
                builder.store(builder.load(total), place(outputs, ir.Constant(integer, k)), align=4)
            return context.get_dummy_value()

        return signature, generate

    return dot


_dot_of_one, _dot_of_eight = _make_dot(1), _make_dot(8)


@kernel
def _dense(
    weights: NDArray[np.float32],
    inputs: NDArray[np.float32],
    count: int,
    width: int,
    outputs: NDArray[np.float32],
) -> None:
    """`forward_pass.dense` in every lane.

    Args:
        weights: (num_parameters, LANES) of the layer.
        inputs: (count, LANES) or more rows.
        outputs: (width, LANES) or more rows, overwritten.
    """
    biases = weights[count * width : (count + 1) * width].ravel()
    values = outputs[:width].ravel()
    for k in range(values.size):
        values[k] = biases[k]

    num_bytes = 4 * LANES
    layer = weights.ctypes.data
    begin = inputs.ctypes.data
    end = outputs.ctypes.data
    j = 0
    while j < width:
        if j + 8 <= width:
            _dot_of_eight(begin, layer + j * num_bytes, count, width, end + j * num_bytes)
            j += 8
        else:
            _dot_of_one(begin, layer + j * num_bytes, count, width, end + j * num_bytes)
            j += 1


@kernel
def _normalize(parameters: NDArray[np.float32], values: NDArray[np.float32]) -> None:
    """`forward_pass.normalize` in every lane; parameters (2 n, LANES), values (n, LANES)."""
    n = values.shape[0]
    size = np.float32(n)
    means = np.zeros(LANES, np.float32)
    scales = np.zeros(LANES, np.float32)
    for k in range(n):
        for lane in range(LANES):
            means[lane] += values[k, lane]
    for lane in range(LANES):
        means[lane] /= size

    for k in range(n):
        for lane in range(LANES):
            scales[lane] += (values[k, lane] - means[lane]) * (values[k, lane] - means[lane])
    for lane in range(LANES):
        scales[lane] = np.float32(1.0) / np.sqrt(scales[lane] / size + LEAST_VARIANCE)

    for k in range(n):
        for lane in range(LANES):
            scaled = (values[k, lane] - means[lane]) * scales[lane]
            values[k, lane] = scaled * parameters[k, lane] + parameters[n + k, lane]


@kernel
def forward_in_lanes(
    weights: NDArray[np.float32],
    table: NDArray[np.int64],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    observations: NDArray[np.float32],
    hidden: NDArray[np.float32],
    states: NDArray[np.float32],
) -> int:
    """`policies.forward` in every lane; returns the row of ``hidden`` that holds the outputs.

    Args:
        weights: (num_parameters, LANES), a member a column.
        table, mean, inverse_std: of `Actor.network`.
        observations: (obs_dim, LANES).
        hidden: (4, width, LANES) working memory.
        states: (state_size, LANES), which move on by one step.
    """
    for k in range(mean.size):
        bound = input_bound(mean[k], inverse_std[k])
        for lane in range(LANES):
            value = (observations[k, lane] - mean[k]) * inverse_std[k]
            hidden[0, k, lane] = min(max(value, -bound), bound)

    first = 0
    remembered = 0
    num_bytes = 4 * LANES
    begin = weights.ctypes.data
    for layer in range(table.shape[0]):
        kind, count, width = table[layer, 0], table[layer, 1], table[layer, 2]
        values = hidden[(layer + 1) % 2, :width].ravel()

        if kind == DENSE:
            biases = weights[first + count * width : first + (count + 1) * width].ravel()
            for k in range(values.size):
                values[k] = biases[k]

            own = begin + first * num_bytes
            inputs = hidden[layer % 2].ctypes.data
            outputs = values.ctypes.data
            j = 0
            while j < width:
                if j + 8 <= width:
                    _dot_of_eight(
                        inputs, own + j * num_bytes, count, width, outputs + j * num_bytes
                    )
                    j += 8
                else:
                    _dot_of_one(inputs, own + j * num_bytes, count, width, outputs + j * num_bytes)
                    j += 1
            first += (count + 1) * width
        else:
            read, carried = _other_layer(
                weights[first:], table[layer], hidden, layer % 2, states[remembered:]
            )
            first += read
            remembered += carried

        activation = table[layer, 3]
        if activation == TANH:
            for k in range(values.size):
                values[k] = fast_tanh(values[k])
        elif activation != IDENTITY:
            activate(activation, values)
    return table.shape[0] % 2


@kernel
def _other_layer(
    weights: NDArray[np.float32],
    layer: NDArray[np.int64],
    hidden: NDArray[np.float32],
    here: int,
    states: NDArray[np.float32],
) -> tuple[int, int]:
    """`forward_pass._other_layer` in every lane; tasks with lanes have no pictures."""
    kind, count, width = layer[0], layer[1], layer[2]
    inputs = hidden[here]
    outputs = hidden[1 - here]
    if kind == LAYER_NORM:
        outputs[:width] = inputs[:width]
        _normalize(weights[: 2 * width], outputs[:width])
        return 2 * width, 0

    gates = width * (3 if kind == GRU else 4)
    own = states[: width if kind == GRU else 2 * width]
    first = (count + 1) * gates
    second = first + (width + 1) * gates
    _dense(weights[:first], inputs, count, gates, hidden[2])
    _dense(weights[first:second], own, width, gates, hidden[3])
    from_input, from_state = hidden[2, :gates].ravel(), hidden[3, :gates].ravel()
    if kind == GRU:
        update_gru(from_input, from_state, own.ravel())
    else:
        update_lstm(from_input, from_state, own.ravel())
    outputs[:width] = own[:width]
    return second, own.shape[0]


@kernel
def aligned(num_rows: int) -> NDArray[np.float32]:
    """Zeros, (num_rows, LANES) float32 on 64-byte boundaries."""
    room = np.zeros((num_rows + 1) * LANES, np.float32)
    first = -(room.ctypes.data // 4) % LANES
    return room[first : first + num_rows * LANES].reshape(num_rows, LANES)
