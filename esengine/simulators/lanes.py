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
from esengine.policies.forward_pass import fast_tanh, input_bound

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
def forward_in_lanes(
    weights: NDArray[np.float32],
    sizes: NDArray[np.int64],
    observations: NDArray[np.float32],
    mean: NDArray[np.float32],
    inverse_std: NDArray[np.float32],
    hidden: NDArray[np.float32],
) -> int:
    """`policies.forward` in every lane; returns the row of ``hidden`` that holds the outputs.

    Args:
        weights: (num_parameters, LANES), a member a column.
        sizes: (num_layers + 1,) units of each layer, the observation first.
        observations: (obs_dim, LANES).
        mean, inverse_std: (obs_dim,).
        hidden: (2, max(sizes), LANES) working memory.
    """
    for k in range(sizes[0]):
        bound = input_bound(mean[k], inverse_std[k])
        for lane in range(LANES):
            value = (observations[k, lane] - mean[k]) * inverse_std[k]
            hidden[0, k, lane] = min(max(value, -bound), bound)

    layer_weights = weights.ctypes.data
    num_bytes = 4 * LANES
    first = 0
    for layer in range(sizes.size - 1):
        count, width = sizes[layer], sizes[layer + 1]
        values = hidden[(layer + 1) % 2, :width].ravel()
        biases = weights[first + count * width : first + (count + 1) * width].ravel()
        for k in range(values.size):
            values[k] = biases[k]

        inputs = hidden[layer % 2].ctypes.data
        outputs = values.ctypes.data
        j = 0
        while j < width:
            if j + 8 <= width:
                _dot_of_eight(
                    inputs, layer_weights + j * num_bytes, count, width, outputs + j * num_bytes
                )
                j += 8
            else:
                _dot_of_one(
                    inputs, layer_weights + j * num_bytes, count, width, outputs + j * num_bytes
                )
                j += 1

        if layer < sizes.size - 2:
            for k in range(values.size):
                values[k] = fast_tanh(values[k])

        first += (count + 1) * width
        layer_weights += (count + 1) * width * num_bytes
    return (sizes.size - 1) % 2


@kernel
def aligned(num_rows: int) -> NDArray[np.float32]:
    """Zeros, (num_rows, LANES) float32 on 64-byte boundaries."""
    room = np.zeros((num_rows + 1) * LANES, np.float32)
    first = -(room.ctypes.data // 4) % LANES
    return room[first : first + num_rows * LANES].reshape(num_rows, LANES)
