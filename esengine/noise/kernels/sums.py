"""Sums of windows of noise, over the members of a population or the links of a genome."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.noise.kernels.perturbations import perturb_reference

_TILE = 16384  # outputs of a sum that stay in the first-level cache while all members are added


@kernel
def weighted_noise_sum(
    weights: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    out: NDArray[np.floating],
) -> None:
    """``out = sum_i weights[i] * table[starts[i] + first : ... + out.size]`` in the order of ``i``.

    A pass adds twelve rows to a tile that stays in the cache. Twelve rows in tiles of 16,384 read
    at the sequential bandwidth of memory. Eight rows are slower, and sixteen are more streams than
    memory follows (docs/decisions/0012-population-sum-reads-twelve-rows.md). Every coordinate is
    one running sum over all members in order, so any slicing by ``first`` gives the same bits.

    Args:
        weights: (num_members,) in the precision of ``out``.
        table: the noise table.
        starts: (num_members,) window starts.
        first: the first coordinate of the slice that ``out`` holds.
        out: (slice_size,) overwritten with the sum.
    """
    out[:] = 0
    num_members = weights.size
    grouped = num_members - num_members % 12

    for low in range(0, out.size, _TILE):
        tile = out[low : min(low + _TILE, out.size)]
        size = tile.size
        base = first + low

        for i in range(0, grouped, 12):
            w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
            w8, w9, w10, w11 = weights[i + 8], weights[i + 9], weights[i + 10], weights[i + 11]
            r0 = table[starts[i] + base : starts[i] + base + size]
            r1 = table[starts[i + 1] + base : starts[i + 1] + base + size]
            r2 = table[starts[i + 2] + base : starts[i + 2] + base + size]
            r3 = table[starts[i + 3] + base : starts[i + 3] + base + size]
            r4 = table[starts[i + 4] + base : starts[i + 4] + base + size]
            r5 = table[starts[i + 5] + base : starts[i + 5] + base + size]
            r6 = table[starts[i + 6] + base : starts[i + 6] + base + size]
            r7 = table[starts[i + 7] + base : starts[i + 7] + base + size]
            r8 = table[starts[i + 8] + base : starts[i + 8] + base + size]
            r9 = table[starts[i + 9] + base : starts[i + 9] + base + size]
            r10 = table[starts[i + 10] + base : starts[i + 10] + base + size]
            r11 = table[starts[i + 11] + base : starts[i + 11] + base + size]

            for k in range(size):
                total = tile[k] + w0 * r0[k]
                total = total + w1 * r1[k]
                total = total + w2 * r2[k]
                total = total + w3 * r3[k]
                total = total + w4 * r4[k]
                total = total + w5 * r5[k]
                total = total + w6 * r6[k]
                total = total + w7 * r7[k]
                total = total + w8 * r8[k]
                total = total + w9 * r9[k]
                total = total + w10 * r10[k]
                tile[k] = total + w11 * r11[k]

        for i in range(grouped, num_members):
            weight = weights[i]
            row = table[starts[i] + base : starts[i] + base + size]
            for k in range(size):
                tile[k] = tile[k] + weight * row[k]


def weighted_noise_sum_reference(
    weights: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `weighted_noise_sum`."""
    out[:] = 0
    for weight, start in zip(weights, starts, strict=True):
        out += weight * table[start + first : start + first + out.size].astype(out.dtype)


@kernel
def weighted_square_sum(
    weights: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    out: NDArray[np.floating],
) -> None:
    """``out = sum_i weights[i] * noise_i^2`` in the order of ``i``, otherwise as
    `weighted_noise_sum`.
    """
    out[:] = 0
    grouped = weights.size - weights.size % 4

    for low in range(0, out.size, _TILE):
        tile = out[low : min(low + _TILE, out.size)]
        size = tile.size
        base = first + low

        for i in range(0, grouped, 4):
            w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            r0 = table[starts[i] + base : starts[i] + base + size]
            r1 = table[starts[i + 1] + base : starts[i + 1] + base + size]
            r2 = table[starts[i + 2] + base : starts[i + 2] + base + size]
            r3 = table[starts[i + 3] + base : starts[i + 3] + base + size]
            for k in range(size):
                total = tile[k] + (w0 * r0[k]) * r0[k]
                total = total + (w1 * r1[k]) * r1[k]
                total = total + (w2 * r2[k]) * r2[k]
                tile[k] = total + (w3 * r3[k]) * r3[k]

        for i in range(grouped, weights.size):
            weight = weights[i]
            row = table[starts[i] + base : starts[i] + base + size]
            for k in range(size):
                tile[k] = tile[k] + (weight * row[k]) * row[k]


def weighted_square_sum_reference(
    weights: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `weighted_square_sum`."""
    out[:] = 0
    for weight, start in zip(weights, starts, strict=True):
        noise = table[start + first : start + first + out.size].astype(out.dtype)
        out += (weight * noise) * noise


@kernel
def apply_chain(
    root: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """The row of a genome: ``root`` plus its mutations in order, with the bits of one `perturb` per
    link.

    Args:
        root: (n,) the initial row.
        table: the noise table.
        starts: (num_links,) window starts, oldest first.
        scales: (num_links,) sigma of each link, in the precision of ``root``.
        out: (n,) overwritten.
    """
    for low in range(0, root.size, _TILE):
        high = min(low + _TILE, root.size)
        tile = out[low:high]
        for k in range(tile.size):
            tile[k] = root[low + k]

        for i in range(starts.size):
            scale = scales[i]
            noise = table[starts[i] + low : starts[i] + high]
            for k in range(tile.size):
                tile[k] = tile[k] + scale * noise[k]


def apply_chain_reference(
    root: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `apply_chain`."""
    out[:] = root
    for start, scale in zip(starts, scales, strict=True):
        perturb_reference(out, table, int(start), scale, out)
