"""Numba kernels over parameter rows, each with a NumPy twin named ``<kernel>_reference``.

Kernels take arrays and scalars, allocate nothing but their result and never raise. Their results do not depend on how the
work is cut: every output coordinate is computed by the same sequence of operations wherever a slice begins. None of them uses
``fastmath``, which would let the compiler reorder sums.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from esengine.seeding import draw64

ALIGNMENT = 16  # floats; noise windows start on 64-byte boundaries, since unaligned loads split cache lines
_TILE = 16384  # outputs of a population sum that stay in the first-level caches while all members pass over them


@njit(cache=True, error_model="numpy")
def window_starts(key: np.uint64, members: NDArray[np.int64], log2_slots: int) -> NDArray[np.int64]:
    """Starts of the members' noise windows in the table.

    The map from member to slot is a bijection keyed by (seed, generation): no two members of a generation share a start.

    Args:
        key: the generation's noise key.
        members: (num_members,) int64 ids, each below 2^log2_slots.
        log2_slots: the table holds 2^log2_slots aligned starts.

    Returns:
        (num_members,) int64 offsets into the table, multiples of `ALIGNMENT`.
    """
    mask = (np.uint64(1) << np.uint64(log2_slots)) - np.uint64(1)
    shift = np.uint64(log2_slots // 2 + 1)
    starts = np.empty(members.size, np.int64)
    for i in range(members.size):
        slot = (np.uint64(members[i]) + draw64(key, np.uint64(0))) & mask
        for turn in range(1, 4):  # xor-shift and odd multiplication are both bijections modulo a power of two
            slot = (slot ^ (slot >> shift)) & mask
            slot = (slot * (draw64(key, np.uint64(turn)) | np.uint64(1))) & mask
        starts[i] = np.int64(slot ^ (slot >> shift)) * ALIGNMENT
    return starts


@njit(cache=True, error_model="numpy")
def parent_indices(key: np.uint64, members: NDArray[np.int64], num_unchanged: int, num_rows: int) -> NDArray[np.int64]:
    """The row that each member comes from, (num_members,) int64.

    Members below ``num_unchanged`` are the row of their own number; the others draw from the remaining rows uniformly.
    """
    rows = np.empty(members.size, np.int64)
    num_parents = np.uint64(num_rows - num_unchanged)
    for i in range(members.size):
        high = draw64(key, np.uint64(members[i])) >> np.uint64(32)
        drawn = num_unchanged + np.int64((high * num_parents) >> np.uint64(32))  # multiply-shift, no modulo bias
        rows[i] = members[i] if members[i] < num_unchanged else drawn
    return rows


@njit(cache=True, error_model="numpy")
def perturb(
    parent: NDArray[np.floating],
    table: NDArray[np.float32],
    start: int,
    scale: np.floating,
    out: NDArray[np.floating],
) -> None:
    """``out = parent + scale * table[start : start + n]`` in one pass, in the precision of ``parent``.

    Args:
        parent: (n,) float32 or float64.
        table: the noise table with its wrap-around tail.
        start: offset of the noise window.
        scale: sigma, or minus sigma for the second of a pair, in the parent's precision.
        out: (n,), may be ``parent`` itself.
    """
    noise = table[start : start + parent.size]
    for k in range(parent.size):
        out[k] = parent[k] + scale * noise[k]


def perturb_reference(
    parent: NDArray[np.floating],
    table: NDArray[np.float32],
    start: int,
    scale: np.floating,
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `perturb`."""
    noise = table[start : start + parent.size].astype(parent.dtype)
    out[:] = parent + np.asarray(scale, parent.dtype) * noise


@njit(cache=True, error_model="numpy")
def perturb_rows(
    parents: NDArray[np.floating],
    sources: NDArray[np.int64],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """One `perturb` a row, from the parent ``sources[i]``; a row of scale 0 is a copy.

    Args:
        parents: (num_parents, n).
        sources: (num_rows,) index of each row's parent.
        table: the noise table.
        starts: (num_rows,) window starts.
        scales: (num_rows,) in the precision of ``parents``.
        out: (num_rows, n) overwritten.
    """
    for i in range(sources.size):
        if scales[i] == 0:
            out[i] = parents[sources[i]]
        else:
            perturb(parents[sources[i]], table, starts[i], scales[i], out[i])


def perturb_rows_reference(
    parents: NDArray[np.floating],
    sources: NDArray[np.int64],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `perturb_rows`."""
    for row, source, start, scale in zip(out, sources, starts, scales, strict=True):
        perturb_reference(parents[source], table, int(start), scale, row)


@njit(cache=True, error_model="numpy")
def perturb_pair(
    mean: NDArray[np.floating],
    table: NDArray[np.float32],
    start: int,
    scale: np.floating,
    plus: NDArray[np.floating],
    minus: NDArray[np.floating],
) -> None:
    """``plus, minus = mean +- scale * table[start : start + n]``: an antithetic pair in one pass, the bits of two `perturb`.

    Args:
        mean: (n,) float32 or float64.
        table: the noise table with its wrap-around tail.
        start: offset of the noise window.
        scale: sigma, in the precision of ``mean``.
        plus: (n,) overwritten.
        minus: (n,) overwritten.
    """
    noise = table[start : start + mean.size]
    for k in range(mean.size):
        step = scale * noise[k]
        plus[k] = mean[k] + step
        minus[k] = mean[k] - step


def perturb_pair_reference(
    mean: NDArray[np.floating],
    table: NDArray[np.float32],
    start: int,
    scale: np.floating,
    plus: NDArray[np.floating],
    minus: NDArray[np.floating],
) -> None:
    """NumPy twin of `perturb_pair`."""
    perturb_reference(mean, table, start, scale, plus)
    perturb_reference(mean, table, start, -scale, minus)


@njit(cache=True, error_model="numpy")
def perturb_pairs(
    mean: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scale: np.floating,
    first: int,
    out: NDArray[np.floating],
) -> None:
    """Rows of consecutive members of antithetic pairs: members 2k and 2k + 1 are ``mean +- scale * noise_k``.

    Args:
        mean: (n,) float32 or float64.
        table: the noise table.
        starts: (num_pairs,) window starts of the pairs that the rows touch.
        scale: sigma, in the precision of ``mean``.
        first: member of the first row; an odd one begins with the second half of its pair.
        out: (num_rows, n) overwritten.
    """
    row = 0
    for i in range(starts.size):
        if row == 0 and first % 2 == 1:
            perturb(mean, table, starts[i], -scale, out[row])
            row += 1
        elif row + 1 < len(out):
            perturb_pair(mean, table, starts[i], scale, out[row], out[row + 1])
            row += 2
        else:
            perturb(mean, table, starts[i], scale, out[row])
            row += 1


def perturb_pairs_reference(
    mean: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scale: np.floating,
    first: int,
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `perturb_pairs`."""
    for member, row in enumerate(out, first):
        sign = 1 if member % 2 == 0 else -1
        perturb_reference(mean, table, int(starts[member // 2 - first // 2]), sign * scale, row)


@njit(cache=True, error_model="numpy")
def perturb_scaled(
    mean: NDArray[np.floating],
    deviations: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    signs: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """``out[i] = mean + signs[i] * deviations * noise_i``, in one pass a row and in the precision of ``mean``.

    Args:
        mean: (n,) float32 or float64.
        deviations: (n,) standard deviation of every parameter.
        table: the noise table.
        starts: (num_rows,) window starts.
        signs: (num_rows,) 1 or -1.
        out: (num_rows, n) overwritten.
    """
    for i in range(starts.size):
        sign, noise, row = signs[i], table[starts[i] : starts[i] + mean.size], out[i]
        for k in range(mean.size):
            row[k] = mean[k] + sign * (deviations[k] * noise[k])


def perturb_scaled_reference(
    mean: NDArray[np.floating],
    deviations: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    signs: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """NumPy twin of `perturb_scaled`."""
    for row, start, sign in zip(out, starts, signs, strict=True):
        row[:] = mean + sign * (deviations * table[start : start + mean.size].astype(mean.dtype))


@njit(cache=True, error_model="numpy")
def weighted_noise_sum(
    weights: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    out: NDArray[np.floating],
) -> None:
    """``out = sum_i weights[i] * table[starts[i] + first : ... + out.size]``, summed in the order of ``i``.

    Eight rows a pass over tiles that stay in cache. Every coordinate is one running sum over all members in order, so any
    slicing by ``first`` gives the same bits.

    Args:
        weights: (num_members,) in the precision of ``out``.
        table: the noise table.
        starts: (num_members,) window starts.
        first: the first coordinate of the slice that ``out`` holds.
        out: (slice_size,) overwritten with the sum.
    """
    out[:] = 0
    num_members = weights.size
    grouped = num_members - num_members % 8
    for low in range(0, out.size, _TILE):
        tile = out[low : min(low + _TILE, out.size)]
        size = tile.size
        base = first + low
        for i in range(0, grouped, 8):
            w0, w1, w2, w3 = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            w4, w5, w6, w7 = weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7]
            r0 = table[starts[i] + base : starts[i] + base + size]
            r1 = table[starts[i + 1] + base : starts[i + 1] + base + size]
            r2 = table[starts[i + 2] + base : starts[i + 2] + base + size]
            r3 = table[starts[i + 3] + base : starts[i + 3] + base + size]
            r4 = table[starts[i + 4] + base : starts[i + 4] + base + size]
            r5 = table[starts[i + 5] + base : starts[i + 5] + base + size]
            r6 = table[starts[i + 6] + base : starts[i + 6] + base + size]
            r7 = table[starts[i + 7] + base : starts[i + 7] + base + size]
            for k in range(size):
                total = tile[k] + w0 * r0[k]
                total = total + w1 * r1[k]
                total = total + w2 * r2[k]
                total = total + w3 * r3[k]
                total = total + w4 * r4[k]
                total = total + w5 * r5[k]
                total = total + w6 * r6[k]
                tile[k] = total + w7 * r7[k]
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


@njit(cache=True, error_model="numpy")
def weighted_square_sum(
    weights: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    first: int,
    out: NDArray[np.floating],
) -> None:
    """``out = sum_i weights[i] * noise_i^2``, a slice of coordinates from ``first`` on, summed in the order of ``i``.

    Arguments and order are those of `weighted_noise_sum`, four rows a pass.
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


@njit(cache=True, error_model="numpy")
def apply_chain(
    root: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """The row of a genome: ``root`` plus its mutations in order, the same bits as one `perturb` a link.

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
        tile[:] = root[low:high]
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
