"""Weighted sums of outer products of the members' noise.

The matrix is computed tile by tile. Each tile is a sum over all members in order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.noise import kernels
from esengine.noise.contract import Noise

_BLOCK = 256  # members whose slices of noise stay in the second-level cache
_WIDEST = 128  # columns of a tile: enough products for each number that is read
_LARGE_WORK = 1 << 28  # multiply-adds above which a small matrix has smaller tiles, for more ranks


def product_tile(dimension: int, population_size: int) -> int:
    """The number of rows and columns of a tile, the unit of work, from the problem alone."""
    padded = -(-dimension // kernels.PANEL) * kernels.PANEL
    is_large = population_size * dimension * dimension > _LARGE_WORK
    return min(2 * kernels.PANEL if is_large and dimension <= 4 * _WIDEST else _WIDEST, padded)


def product_tiles(dimension: int, population_size: int) -> list[tuple[int, int]]:
    """The first row and the first column of each tile on and below the diagonal."""
    firsts = range(0, dimension, product_tile(dimension, population_size))
    return [(row, column) for row in firsts for column in firsts if column <= row]


def product_sum(
    noise: Noise,
    weights: NDArray[np.floating],
    starts: NDArray[np.int64],
    tile: tuple[int, int],
    size: int,
) -> NDArray[np.float64]:
    """sum_i weights[i] z_i z_i^T: the tile of ``size`` x ``size`` numbers from (row, column) on, 0
    above the diagonal.

    Args:
        noise: the node's noise.
        weights: (num_members,).
        starts: (num_members,) of the members' noise.
        tile: its first row and column.
        size: from `product_tile`. Numbers of a tile past the dimension are meaningless.
    """
    row, column = tile
    out = np.zeros((size, size))
    buffers = np.empty((2, _BLOCK, size))

    for first in range(0, weights.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        left, right = buffers[:, : starts[block].size]
        noise.read_rows(starts[block], column, right)
        noise.read_rows(starts[block], row, left, weights[block])
        kernels.add_products(left, right, row == column, out)

    return out


def assembled(
    tiles: list[NDArray[np.float64]], bounds: list[tuple[int, int]], dimension: int
) -> NDArray[np.float64]:
    """The symmetric matrix, (dimension, dimension), from its tiles in the order of
    `product_tiles`.
    """
    size = max(1, round(tiles[0].size ** 0.5))
    matrix = np.empty((dimension, dimension))
    for tile, (row, column) in zip(tiles, bounds, strict=True):
        part = tile.reshape(size, size)[: dimension - row, : dimension - column]
        _set_both(matrix, part, row, column)
    return matrix


def transformed(
    A: NDArray[np.float64], products: NDArray[np.float64], lower: bool
) -> NDArray[np.float64]:
    """A S A^T, exactly symmetric, for a symmetric S, all (n, n), one band of rows at a time.

    ``lower`` says that A is lower triangular.
    """
    n = len(A)
    matrix = np.empty((n, n))
    for first in range(0, n, _WIDEST):
        stop = min(first + _WIDEST, n)
        terms = stop if lower else n
        band = A[first:stop, :terms] @ products[:terms, :terms] @ A[:stop, :terms].T

        for column in range(0, stop, _WIDEST):
            _set_both(matrix, band[:, column : column + _WIDEST], first, column)

    return matrix


def _set_both(
    matrix: NDArray[np.float64], part: NDArray[np.float64], row: int, column: int
) -> None:
    """Write a part of a symmetric matrix from (row, column) on, and its mirror image.

    Only the lower half of a part on the diagonal is used.
    """
    height, width = part.shape
    if row == column:
        part = np.tril(part)
        part += np.tril(part, -1).T

    matrix[row : row + height, column : column + width] = part
    matrix[column : column + width, row : row + height] = part.T
