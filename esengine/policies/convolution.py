"""Convolutions of pictures, in compiled code.

The patches of eight output pixels are gathered into a panel, which is multiplied by the weights in
tiles of registers. Each number of the result is one running sum of fused multiply-adds that begins
with the bias and follows the order of the weights, so its bits do not depend on the tiles.
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
from esengine.policies.layers import PIXELS, Layer

_LANES = 16  # float32 numbers of a 512-bit register


def _make_tile(num_pixels: int, lanes: int) -> Any:
    """An intrinsic that adds ``sum_k panel[p, k] * weights[k, v]`` to ``num_pixels`` x ``lanes``
    outputs, which stay in registers.

    Its arguments are the addresses of panel, weights and outputs, the number of terms, and the
    bytes from one pixel's patch to the next, and from one row of weights and of outputs to the
    next.
    """

    @intrinsic
    def tile(
        typing_context: Any,
        panel: Any,
        weights: Any,
        outputs: Any,
        count: Any,
        patch: Any,
        row: Any,
    ) -> Any:
        signature = types.void(*[types.intp] * 6)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = ir.FloatType()
            vector = ir.VectorType(number, lanes)
            panel, weights, outputs, count, patch, row = arguments
            integer = panel.type
            four = ir.Constant(integer, 4)

            def at(address: Any, offset: Any, kind: Any) -> Any:
                return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

            def broadcast(value: Any) -> Any:
                undefined = ir.Constant(vector, ir.Undefined)
                first = ir.Constant(ir.IntType(32), 0)
                single = builder.insert_element(undefined, value, first)
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
                return builder.shuffle_vector(single, undefined, zeros)

            fused = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{lanes}f32"
            )
            pixels = [ir.Constant(integer, pixel) for pixel in range(num_pixels)]
            sums = [cgutils.alloca_once(builder, vector) for _ in pixels]
            for pixel, total in zip(pixels, sums, strict=True):
                begin = at(outputs, builder.mul(row, pixel), vector)
                builder.store(builder.load(begin, align=4), total)

            with cgutils.for_range(builder, count) as loop:
                weight = builder.load(at(weights, builder.mul(loop.index, row), vector), align=4)
                term = builder.mul(loop.index, four)
                for pixel, total in zip(pixels, sums, strict=True):
                    place = builder.add(builder.mul(patch, pixel), term)
                    value = broadcast(builder.load(at(panel, place, number), align=4))
                    added = builder.call(fused, [value, weight, builder.load(total)])
                    builder.store(added, total)

            for pixel, total in zip(pixels, sums, strict=True):
                begin = at(outputs, builder.mul(row, pixel), vector)
                builder.store(builder.load(total), begin, align=4)
            return context.get_dummy_value()

        return signature, generate

    return tile


_eight_by_sixteen, _one_by_sixteen = _make_tile(PIXELS, _LANES), _make_tile(1, _LANES)
_eight_by_one, _one_by_one = _make_tile(PIXELS, 1), _make_tile(1, 1)


@kernel
def convolve(
    parameters: NDArray[np.float32],
    layer: NDArray[np.int64],
    inputs: NDArray[np.float32],
    panel: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    """One layer of convolutions without padding.

    Args:
        parameters: (kernel * kernel * channels * filters + filters,), weights by row and column of
            the kernel, channel and filter, and then biases.
        layer: its row of the table, see `Layer`.
        inputs: (rows, columns, channels) flat, or (channels, rows, columns) where the layer says.
        panel: working memory of `Layer.panel_size` numbers or more.
        outputs: (rows, columns, filters) flat, overwritten.
    """
    rows, columns, channels = layer[4], layer[5], layer[6]
    size, stride = layer[7], layer[8]
    by_row, by_column, by_channel = columns * channels, channels, 1
    if layer[9]:
        by_row, by_column, by_channel = columns, 1, rows * columns

    across = (columns - size) // stride + 1
    num_pixels = ((rows - size) // stride + 1) * across
    count = size * size * channels
    filters = outputs.size // num_pixels
    biases = parameters[count * filters :]

    for first in range(0, num_pixels, PIXELS):
        here = min(PIXELS, num_pixels - first)
        k = 0
        for pixel in range(first, first + here):
            corner = (pixel // across) * stride * by_row + (pixel % across) * stride * by_column
            for i in range(size):
                for j in range(size):
                    place = corner + i * by_row + j * by_column
                    for channel in range(channels):
                        panel[k] = inputs[place + channel * by_channel]
                        k += 1
            for number in range(filters):
                outputs[pixel * filters + number] = biases[number]
        _multiply(parameters, count, filters, here, panel, outputs[first * filters :])


@kernel
def _multiply(
    weights: NDArray[np.float32],
    count: int,
    filters: int,
    num_pixels: int,
    panel: NDArray[np.float32],
    outputs: NDArray[np.float32],
) -> None:
    """Add ``panel @ weights`` to the outputs of at most `PIXELS` pixels.

    Args:
        weights: (count, filters) flat, or longer.
        panel: (num_pixels, count) flat, or longer.
        outputs: (num_pixels, filters) flat, or longer.
    """
    patch, row = 4 * count, 4 * filters
    together = PIXELS if num_pixels == PIXELS else 1
    for pixel in range(0, num_pixels, together):
        x = panel.ctypes.data + pixel * patch
        one = 0
        while one < filters:
            wide = one + _LANES <= filters
            w = weights.ctypes.data + 4 * one
            y = outputs.ctypes.data + pixel * row + 4 * one
            if wide and together > 1:
                _eight_by_sixteen(x, w, y, count, patch, row)
            elif wide:
                _one_by_sixteen(x, w, y, count, patch, row)
            elif together > 1:
                _eight_by_one(x, w, y, count, patch, row)
            else:
                _one_by_one(x, w, y, count, patch, row)
            one += _LANES if wide else 1


def convolve_reference(
    parameters: NDArray[np.float32], layer: Layer, inputs: NDArray[np.float32]
) -> NDArray[np.float32]:
    """NumPy twin of `convolve` for one picture or rows of them, (..., inputs)."""
    size, stride = layer.kernel, layer.stride
    (count, filters) = layer.shapes[0]
    if layer.channels_first:
        pictures = inputs.reshape(-1, layer.channels, layer.rows, layer.columns)
        pictures = pictures.transpose(0, 2, 3, 1)
    else:
        pictures = inputs.reshape(-1, layer.rows, layer.columns, layer.channels)
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (size, size), axis=(1, 2))
    patches = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    weights = parameters[: count * filters].reshape(count, filters)
    values = patches.reshape(*patches.shape[:3], count) @ weights + parameters[count * filters :]
    return values.reshape(*inputs.shape[:-1], layer.outputs)
