"""Rows of members: a parent or a mean plus noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel


@kernel
def perturb(
    parent: NDArray[np.floating],
    table: NDArray[np.float32],
    start: int,
    scale: np.floating,
    out: NDArray[np.floating],
) -> None:
    """``out = parent + scale * table[start : start + n]`` in the precision of ``parent``.

    Args:
        parent: (n,) float32 or float64.
        table: the noise table with its wrap-around tail.
        start: offset of the noise window.
        scale: sigma, or minus sigma for the second member of a pair, in the parent's precision.
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


@kernel
def perturb_rows(
    parents: NDArray[np.floating],
    sources: NDArray[np.int64],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scales: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """`perturb` for each row, from the parent ``sources[i]``. A row of scale 0 is a copy.

    Args:
        parents: (num_parents, n).
        sources: (num_rows,) index of each row's parent.
        table: the noise table.
        starts: (num_rows,) window starts.
        scales: (num_rows,) in the precision of ``parents``.
        out: (num_rows, n) overwritten.
    """
    for i in range(sources.size):
        parent, row = parents[sources[i]], out[i]
        if scales[i] == 0:
            for k in range(row.size):
                row[k] = parent[k]
        else:
            perturb(parent, table, starts[i], scales[i], row)


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


@kernel
def perturb_pair(
    mean: NDArray[np.floating],
    table: NDArray[np.float32],
    start: int,
    scale: np.floating,
    plus: NDArray[np.floating],
    minus: NDArray[np.floating],
) -> None:
    """``plus, minus = mean +- scale * table[start : start + n]``: an antithetic pair in one pass.

    The bits are those of two `perturb`.

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


@kernel
def perturb_pairs(
    mean: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    scale: np.floating,
    first: int,
    out: NDArray[np.floating],
) -> None:
    """Write the rows of consecutive members of antithetic pairs: members 2k and 2k + 1 are ``mean
    +- scale * noise_k``.

    Args:
        mean: (n,) float32 or float64.
        table: the noise table.
        starts: (num_pairs,) window starts of the pairs that the rows touch.
        scale: sigma, in the precision of ``mean``.
        first: member of the first row; an odd one is the second of its pair.
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


@kernel
def perturb_scaled(
    mean: NDArray[np.floating],
    deviations: NDArray[np.floating],
    table: NDArray[np.float32],
    starts: NDArray[np.int64],
    signs: NDArray[np.floating],
    out: NDArray[np.floating],
) -> None:
    """``out[i] = mean + signs[i] * deviations * noise_i`` in the precision of ``mean``.

    Args:
        mean: (n,) float32 or float64.
        deviations: (n,) standard deviation of every parameter.
        table: the noise table.
        starts: (num_rows,) window starts.
        signs: (num_rows,) 1 or -1.
        out: (num_rows, n) overwritten.
    """
    for i in range(starts.size):
        sign = signs[i]
        noise = table[starts[i] : starts[i] + mean.size]
        row = out[i]
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
