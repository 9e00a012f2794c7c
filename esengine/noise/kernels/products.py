"""Matrix products whose bits do not depend on how the work is divided.

The order of a BLAS sum depends on the number of rows, so a member's bits would depend on the chunk
that it is sampled in. Here every number of a result is one running sum in the order of ``k``, and
each step is a fused multiply-add in a tile of registers. The bits are the same for one row or a
thousand, on any machine.
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

PANEL = 16  # columns of a tile of registers: two 512-bit vectors of float64
_LANES = 8
_GROUP = 8
_BLOCK = 64  # rows that stay in the second-level cache while all columns pass over them


def _make_tile(num_rows: int) -> Any:
    """An intrinsic that adds ``sum_k a[k, r] * b[k, v]`` to a tile c of ``num_rows`` x `PANEL` in
    registers.

    Its arguments are the addresses of a, b and c, the number of terms, and four strides in bytes:
    of a per term and per row, of b per term, of c per row. The columns of b and c are contiguous.
    """

    @intrinsic
    def tile(
        typing_context: Any,
        a: Any,
        b: Any,
        c: Any,
        count: Any,
        a_term: Any,
        a_row: Any,
        b_term: Any,
        c_row: Any,
    ) -> Any:
        signature = types.void(*[types.intp] * 8)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            number = ir.DoubleType()
            vector = ir.VectorType(number, _LANES)
            a, b, c, count, a_term, a_row, b_term, c_row = arguments
            integer = a.type

            def at(address: Any, offset: Any, kind: Any) -> Any:
                return builder.inttoptr(builder.add(address, offset), kind.as_pointer())

            def broadcast(value: Any) -> Any:
                single = builder.insert_element(
                    ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0)
                )
                zeros = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
                return builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), zeros)

            fused = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{_LANES}f64"
            )
            halves = [ir.Constant(integer, 8 * _LANES * half) for half in range(PANEL // _LANES)]
            rows = [builder.mul(c_row, ir.Constant(integer, row)) for row in range(num_rows)]
            sums = [[cgutils.alloca_once(builder, vector) for _ in halves] for _ in rows]

            for row, of_row in zip(rows, sums, strict=True):
                for half, total in zip(halves, of_row, strict=True):
                    builder.store(
                        builder.load(at(c, builder.add(row, half), vector), align=8), total
                    )

            with cgutils.for_range(builder, count) as loop:
                a_now = builder.add(a, builder.mul(loop.index, a_term))
                b_now = builder.add(b, builder.mul(loop.index, b_term))
                columns = [builder.load(at(b_now, half, vector), align=8) for half in halves]

                for row, of_row in enumerate(sums):
                    offset = builder.mul(a_row, ir.Constant(integer, row))
                    factor = broadcast(builder.load(at(a_now, offset, number), align=8))
                    for column, total in zip(columns, of_row, strict=True):
                        builder.store(
                            builder.call(fused, [factor, column, builder.load(total)]), total
                        )

            for row, of_row in zip(rows, sums, strict=True):
                for half, total in zip(halves, of_row, strict=True):
                    builder.store(
                        builder.load(total), at(c, builder.add(row, half), vector), align=8
                    )

            return context.get_dummy_value()

        return signature, generate

    return tile


_tile_of_one = _make_tile(1)
_tile_of_group = _make_tile(_GROUP)


def pack_panels(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows of a matrix, (num_rows, n), in the form for `multiply_rows`: (num_panels, n, PANEL),
    padded with zeros.
    """
    num_rows, n = matrix.shape
    padded = np.zeros((-(-num_rows // PANEL) * PANEL, n))
    padded[:num_rows] = matrix
    return np.ascontiguousarray(padded.reshape(-1, PANEL, n).transpose(0, 2, 1))


@kernel
def multiply_rows(
    rows: NDArray[np.float64], panels: NDArray[np.float64], lower: bool
) -> NDArray[np.float64]:
    """``rows @ matrix.T``, (num_rows, num_panels * PANEL). A row's bits do not depend on the other
    rows.

    Args:
        rows: (num_rows, n) contiguous.
        panels: the matrix, see `pack_panels`; the columns past its rows are zero.
        lower: whether the matrix is lower triangular, so that half of the terms can be left out.
    """
    num_rows, n = rows.shape
    width = len(panels) * PANEL
    out = np.zeros((num_rows, width))
    source = np.intp(rows.ctypes.data)
    target = np.intp(out.ctypes.data)
    matrix = np.intp(panels.ctypes.data)
    a_row = n * 8  # strides in bytes
    b_term = PANEL * 8
    c_row = width * 8

    for low in range(0, num_rows, _BLOCK):
        high = min(low + _BLOCK, num_rows)
        grouped = high - (high - low) % _GROUP

        for p in range(len(panels)):
            b = matrix + p * n * b_term
            c = target + p * b_term
            count = min(n, (p + 1) * PANEL) if lower else n

            for i in range(low, grouped, _GROUP):
                a = source + i * a_row
                _tile_of_group(a, b, c + i * c_row, count, 8, a_row, b_term, c_row)
            for i in range(grouped, high):
                a = source + i * a_row
                _tile_of_one(a, b, c + i * c_row, count, 8, a_row, b_term, c_row)

    return out


def multiply_rows_reference(
    rows: NDArray[np.float64], panels: NDArray[np.float64], lower: bool
) -> NDArray[np.float64]:
    """NumPy twin of `multiply_rows`."""
    return rows @ np.concatenate(list(panels), axis=1)


@kernel
def add_products(
    left: NDArray[np.float64], right: NDArray[np.float64], lower: bool, out: NDArray[np.float64]
) -> None:
    """``out += left.T @ right``, each number of ``out`` one running sum over the rows in order.

    Args:
        left: (num_rows, height) contiguous; height is a multiple of 8.
        right: (num_rows, width) contiguous; width is a multiple of PANEL.
        lower: leave out the part above the diagonal, for a symmetric product.
        out: (height, width) contiguous.
    """
    num_rows, height = left.shape
    width = right.shape[1]
    a = np.intp(left.ctypes.data)
    b = np.intp(right.ctypes.data)
    c = np.intp(out.ctypes.data)
    a_term = height * 8  # strides in bytes
    c_row = width * 8

    for j in range(0, width, PANEL):
        for i in range(j if lower else 0, height, _GROUP):
            tile = c + i * c_row + j * 8
            _tile_of_group(a + i * 8, b + j * 8, tile, num_rows, a_term, 8, c_row, c_row)


def add_products_reference(
    left: NDArray[np.float64], right: NDArray[np.float64], lower: bool, out: NDArray[np.float64]
) -> None:
    """NumPy twin of `add_products`."""
    out += np.tril(left.T @ right) if lower else left.T @ right


@kernel
def adapt_covariance(
    C: NDArray[np.float64],
    decay: float,
    rank_mu: NDArray[np.float64],
    rate: float,
    path: NDArray[np.float64],
) -> None:
    """``C = decay * C + rank_mu + rate * path path^T`` in place, in one pass over the memory.

    Args:
        C: (n, n) symmetric.
        decay: factor of the old C.
        rank_mu: (n, n) symmetric.
        rate: of the rank-one update.
        path: (n,).
    """
    for i in range(path.size):
        row = C[i]
        added = rank_mu[i]
        number = path[i]
        for j in range(path.size):
            row[j] = (decay * row[j] + added[j]) + rate * (number * path[j])


def adapt_covariance_reference(
    C: NDArray[np.float64],
    decay: float,
    rank_mu: NDArray[np.float64],
    rate: float,
    path: NDArray[np.float64],
) -> None:
    """NumPy twin of `adapt_covariance`."""
    C[:] = decay * C + rank_mu + rate * np.outer(path, path)


@kernel
def read_rows(
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """``out[i] = scales[i] * table[starts[i] + first : ... + width]``: a slice of each window.

    Args:
        table: the noise table.
        starts: (num_rows,) window starts.
        first: the first coordinate of the slice.
        scales: (num_rows,) in the precision of ``out``.
        out: (num_rows, width) overwritten.
    """
    for i in range(starts.size):
        noise = table[starts[i] + first : starts[i] + first + out.shape[1]]
        row = out[i]
        scale = scales[i]
        for k in range(row.size):
            row[k] = scale * noise[k]


def read_rows_reference(
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `read_rows`."""
    for row, start, scale in zip(out, starts, scales, strict=True):
        row[:] = scale * table[start + first : start + first + row.size].astype(out.dtype)
