"""Weighted sums of outer products of the members' noise, tile by tile of the matrix, each over all
members in order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.noise import kernels
from esengine.noise.contract import Noise

_BLOCK = 256  # members whose slices of noise stay in the second-level cache
_WIDEST = 128  # columns of a tile: enough products for each number that is read
_MUCH_WORK = (
    1 << 28
)  # multiply-adds from which a small matrix is cut further, so that ranks share it


def product_tile(dimension: int, population_size: int) -> int:
    """Rows and columns of a tile, a function of the problem alone: one unit of work."""
    padded = -(-dimension // kernels.PANEL) * kernels.PANEL
    much = population_size * dimension * dimension > _MUCH_WORK
    return min(_WIDEST if not much or dimension > 4 * _WIDEST else 2 * kernels.PANEL, padded)


def product_tiles(dimension: int, population_size: int) -> list[tuple[int, int]]:
    """First row and first column of the tiles on and below the diagonal."""
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
        noise: where windows lie.
        weights: (num_members,).
        starts: (num_members,) of the members' windows.
        tile: its first row and column.
        size: from `product_tile`. A tile at the edge has numbers past the dimension, which mean
            nothing.
    """
    row, column = tile
    out = np.zeros((size, size))
    room = np.empty((2, _BLOCK, size))
    for first in range(0, weights.size, _BLOCK):
        block = slice(first, first + _BLOCK)
        left, right = room[:, : starts[block].size]
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
    """A S A^T, exactly symmetric, of a symmetric S and any or a lower triangular A, all (n, n), a
    band of rows at a time.
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
    """A part of a symmetric matrix from (row, column) on and its mirror; of one on the diagonal the
    lower half counts.
    """
    height, width = part.shape
    if row == column:
        part = np.tril(part)
        part += np.tril(part, -1).T
    matrix[row : row + height, column : column + width] = part
    matrix[column : column + width, row : row + height] = part.T
