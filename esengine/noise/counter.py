"""Noise that is computed when it is used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.noise import streams
from esengine.noise.contract import Noise, scales_of
from esengine.seeding import derive_key


@dataclass(frozen=True)
class CounterNoise(Noise):
    """Noise computed by `streams` when it is used. It needs no memory and has no largest dimension.

    It costs about three times as much as reading a table.
    """

    @property
    def max_population_size(self) -> int:
        return 1 << 62

    def starts(self, seed: int, generation: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
        key = np.uint64(derive_key(seed, "noise", generation))
        return streams.stream_keys(key, np.asarray(members, np.int64))

    def windows(
        self, starts: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        table = np.empty((starts.size, size), np.float32)
        for row, key in zip(table, starts, strict=True):
            streams.fill_normals(key.view(np.uint64), 0, row)
        return table.ravel(), np.arange(starts.size) * size

    def perturb(
        self,
        parents: NDArray[np.floating],
        sources: NDArray[np.int64],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        for row, source, start, scale in zip(out, sources, starts, scales, strict=True):
            row[:] = parents[source]
            if scale:
                streams.add_streams(np.array([start]), 0, np.array([scale], out.dtype), False, row)

    def weighted_sum(
        self,
        weights: NDArray[np.floating],
        starts: NDArray[np.int64],
        first: int,
        power: int,
        out: NDArray[np.floating],
    ) -> None:
        out[:] = 0
        streams.add_streams(starts, first, weights, power == 2, out)

    def apply_chain(
        self,
        root: NDArray[np.floating],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
        out: NDArray[np.floating],
    ) -> None:
        out[:] = root
        streams.add_streams(starts, 0, scales, False, out)

    def read_rows(
        self,
        starts: NDArray[np.int64],
        first: int,
        out: NDArray[np.floating],
        scales: NDArray[np.floating] | None = None,
    ) -> None:
        for row, start, scale in zip(out, starts, scales_of(starts, out, scales), strict=True):
            row[:] = 0
            streams.add_streams(np.array([start]), first, np.array([scale]), False, row)
