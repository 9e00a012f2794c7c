"""The network of a policy in lanes: one member per lane, one vector register for each number.

Numba's own loops over 16 lanes spend more on checks whether arrays overlap than on the sums, so the
sums are written as vector instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.compiled.addresses import call_at, data_of, pointer_at
from esengine.policies.layer_kernels import (
    LEAST_VARIANCE,
    activate,
    fast_tanh,
    input_bound,
    update_gru,
    update_lstm,
)
from esengine.policies.layers import (
    ADDRESS_IN_LANES,
    DENSE,
    GRU,
    LAYER_NORM,
    NUM_COLUMNS,
    NUM_PARAMETERS,
    STATE_SIZE,
    TANH,
)

LANES = 16  # float32 numbers of a 512-bit register
_ROW = 4 * LANES  # bytes


def _make_dot(num_outputs: int) -> Any:
    """An intrinsic that writes ``biases + inputs @ weights`` to ``num_outputs`` neighbouring
    outputs of a layer, whose sums stay in registers.
    """

    @intrinsic
    def dot(
        typing_context: Any,
        inputs: Any,
        weights: Any,
        biases: Any,
        count: Any,
        width: Any,
        outputs: Any,
    ) -> Any:
        signature = types.void(*[types.intp] * 6)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            vector = ir.VectorType(ir.FloatType(), LANES)
            inputs, weights, biases, count, width, outputs = arguments
            integer = inputs.type

            def place(address: Any, index: Any) -> Any:
                offset = builder.mul(index, ir.Constant(integer, _ROW))
                return builder.inttoptr(builder.add(address, offset), vector.as_pointer())

            sums = [cgutils.alloca_once(builder, vector) for _ in range(num_outputs)]
            for k, total in enumerate(sums):
                builder.store(builder.load(place(biases, ir.Constant(integer, k)), align=4), total)

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
def _dense(layer: int, inputs: int, count: int, width: int, outputs: int) -> None:
    """`layer_kernels.dense` in every lane.

    Args:
        layer: address of the layer's parameters, (count * width + width, LANES).
        inputs, outputs: addresses of (count, LANES) and of (width, LANES), which is overwritten.
        count, width: numbers of inputs and outputs.
    """
    biases = layer + count * width * _ROW
    j = 0
    while j < width:
        here = j * _ROW
        if j + 8 <= width:
            _dot_of_eight(inputs, layer + here, biases + here, count, width, outputs + here)
            j += 8
        else:
            _dot_of_one(inputs, layer + here, biases + here, count, width, outputs + here)
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

    own, work, memory = data_of(weights), data_of(hidden), data_of(states)
    row = hidden.shape[1] * _ROW
    for layer in range(table.shape[0]):
        count, width = table[layer, 1], table[layer, 2]
        here, there = layer % 2, (layer + 1) % 2

        if table[layer, ADDRESS_IN_LANES]:
            kind = data_of(table) + 8 * NUM_COLUMNS * layer
            call_at(
                table[layer, ADDRESS_IN_LANES], (kind, own, work, hidden.shape[1], here, memory)
            )
            memory += table[layer, STATE_SIZE] * _ROW
        else:
            _dense(own, work + here * row, count, width, work + there * row)
            if table[layer, 3] == TANH:
                values = hidden[there, :width].ravel()
                for k in range(values.size):
                    values[k] = fast_tanh(values[k])
        own += table[layer, NUM_PARAMETERS] * _ROW
    return table.shape[0] % 2


def other_layer_in_lanes(
    layer: int, parameters: int, hidden: int, longest: int, here: int, state: int
) -> None:
    """`layers_apart.other_layer` in every lane; tasks with lanes have no pictures."""
    row = carray(pointer_at(layer), (NUM_COLUMNS,), np.int64)
    kind, count, width = row[0], row[1], row[2]
    weights = carray(pointer_at(parameters), (row[NUM_PARAMETERS], LANES), np.float32)
    work = carray(pointer_at(hidden), (4, longest, LANES), np.float32)
    outputs = work[1 - here, :width]
    inputs = data_of(work[here])

    if kind == DENSE:
        _dense(parameters, inputs, count, width, data_of(outputs))
    elif kind == LAYER_NORM:
        for k in range(width):
            for lane in range(LANES):
                outputs[k, lane] = work[here, k, lane]
        _normalize(weights, outputs)
    else:
        own = carray(pointer_at(state), (row[STATE_SIZE], LANES), np.float32)
        gates = width * (3 if kind == GRU else 4)
        from_input, from_state = work[2, :gates].ravel(), work[3, :gates].ravel()
        _dense(parameters, inputs, count, gates, data_of(from_input))
        second = parameters + (count + 1) * gates * _ROW
        _dense(second, state, width, gates, data_of(from_state))
        if kind == GRU:
            update_gru(from_input, from_state, own.ravel())
        else:
            update_lstm(from_input, from_state, own.ravel())
        for k in range(width):
            for lane in range(LANES):
                outputs[k, lane] = own[k, lane]

    activate(row[3], outputs.ravel())


@kernel
def aligned(num_rows: int) -> NDArray[np.float32]:
    """Zeros, (num_rows, LANES) float32 on 64-byte boundaries."""
    room = np.zeros((num_rows + 1) * LANES, np.float32)
    first = -(room.ctypes.data // 4) % LANES
    return room[first : first + num_rows * LANES].reshape(num_rows, LANES)
