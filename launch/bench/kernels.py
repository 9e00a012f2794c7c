"""Kernels against the machine's own bandwidth, and against NumPy."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.launch.bench.figures import BenchSettings, Figure, paired
from esengine.noise import create_table, kernels, streams


@njit(cache=True, error_model="numpy", fastmath=True)
def _read(values: NDArray[np.float32]) -> np.float32:
    """Add in four streams that the compiler may reorder: the read bandwidth of one core."""
    quarter = values.size // 4
    a = values[:quarter]
    b = values[quarter : 2 * quarter]
    c = values[2 * quarter : 3 * quarter]
    d = values[3 * quarter :]
    total = np.float32(0)
    for k in range(quarter):
        total += (a[k] + b[k]) + (c[k] + d[k])
    return total


@kernel
def _triad(
    a: NDArray[np.float32], b: NDArray[np.float32], scale: np.float32, out: NDArray[np.float32]
) -> None:
    for k in range(a.size):
        out[k] = a[k] + scale * b[k]


def bench_kernels(settings: BenchSettings) -> list[Figure]:
    """Measure each kernel, the machine's bandwidth and NumPy in the same run."""
    table = create_table(0, 26, 1 << 20, None).table  # 256 MB, far out of the caches
    figures = _population_sum(table[: 1 << 16], 10_000, 1000, "in cache", settings.repeats)
    for size, members in ((10_000, 1000), (100_000, 1000), (1_000_000, 200)):
        figures += _population_sum(table, size, members, "in memory", settings.repeats)
    for size in (1_000, 100_000, 1_000_000):
        figures += _perturbation(table, size, settings.repeats)
    return [*figures, *_computed_noise(settings.repeats)]


def _population_sum(
    table: NDArray[np.float32], size: int, members: int, where: str, repeats: int
) -> list[Figure]:
    random = np.random.default_rng(0)
    starts = random.integers(0, (table.size - size) // 16, members) * 16
    weights = random.standard_normal(members).astype(np.float32)
    out = np.empty(size, np.float32)
    batch = np.empty((500, size), np.float32)
    read_bytes = 4 * size * members
    block = table[: min(table.size, size * members)]
    passes = max(1, read_bytes // (4 * block.size))

    def ours() -> None:
        kernels.weighted_noise_sum(weights, table, starts, 0, out)

    def batched() -> None:
        """The sum of OpenAI's code: rows copied into a batch of 500, then a product."""
        total = np.zeros(size, np.float32)
        for low in range(0, members, 500):
            rows = batch[: min(500, members - low)]
            for row, start in zip(rows, starts[low : low + 500], strict=True):
                row[:] = table[start : start + size]
            total += np.dot(weights[low : low + 500], rows)

    def read() -> None:
        for _ in range(passes):
            _read(block)

    mine, reading = paired(ours, read, repeats)
    bandwidth = passes * 4 * block.size / reading
    again, theirs = paired(ours, batched, repeats)
    name = f"noise sum {where}, {members} x {size:,}"
    gigabytes = read_bytes / mine / 1e9
    moved = 3 * read_bytes / theirs / 1e9  # it reads the rows, writes the batch and reads it again
    goal = 0.85 if size >= 100_000 else None
    limit = f"read {bandwidth / 1e9:.1f} GB/s"
    peer = f"OpenAI-style {members / theirs:,.0f} at {moved:.0f} GB/s"
    return [
        Figure(name, gigabytes, "GB/s", limit, gigabytes * 1e9 / bandwidth, goal),
        Figure(name, members / again, "rows/s", peer, theirs / again),
    ]


def _perturbation(table: NDArray[np.float32], size: int, repeats: int) -> list[Figure]:
    random = np.random.default_rng(1)
    count = max(1, 4_000_000 // size)
    starts = random.integers(0, (table.size - size) // 16, count) * 16
    parent = random.standard_normal(size).astype(np.float32)
    out = np.empty(size, np.float32)
    other = np.ones((count, size), np.float32)

    def ours() -> None:
        for start in starts:
            kernels.perturb(parent, table, start, np.float32(0.1), out)

    def triad() -> None:
        for row in other:
            _triad(parent, row, np.float32(0.1), out)

    def plain() -> None:
        for start in starts:
            np.add(parent, np.float32(0.1) * table[start : start + size], out=out)

    mine, peak = paired(ours, triad, repeats)
    again, theirs = paired(ours, plain, repeats)
    name = f"perturbation, {size:,}"
    moved = 12 * size * count / 1e9
    goal = 0.8 if size >= 100_000 else None
    return [
        Figure(name, moved / mine, "GB/s", f"triad {moved / peak:.1f} GB/s", peak / mine, goal),
        Figure(name, count / again, "rows/s", f"NumPy {count / theirs:,.0f}", theirs / again),
    ]


def _computed_noise(repeats: int) -> list[Figure]:
    """Measure normals by counter and NumPy's Philox generator, a million at a time."""
    out = np.empty(1 << 20, np.float32)
    generator = np.random.Generator(np.random.Philox(0))
    mine, theirs = paired(
        lambda: streams.fill_normals(np.uint64(0), 0, out),
        lambda: generator.standard_normal(out=out, dtype=np.float32),
        repeats,
    )
    against = f"NumPy's Philox {out.size / theirs / 1e6:,.0f}"
    return [Figure("computed noise", out.size / mine / 1e6, "M normals/s", against, theirs / mine)]
