"""What comes back of a chunk beside its records: named arrays, packed and unpacked here alone.

A problem declares them as `ArraySpec`, one for each name. Both ends of a message know the
declaration, so arrays of a fixed shape have no header; one that grows with an episode carries its
lengths. A chunk that failed as a whole returns its records alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.problems.records import MEMBER

Bounds = Sequence[tuple[int, int]]
_LENGTH = np.dtype("<i8")


@dataclass(frozen=True)
class ArraySpec:
    """One named array that comes back of every chunk.

    Attributes:
        name: of the array.
        shape: of a chunk's array where chunks are added up or listed; otherwise of a member's row.
        join: how the chunks' arrays become one, in the order of chunks. ``sum`` adds them up.
            ``chunks`` gives one row a chunk, (num_chunks, *shape), and ``members`` one row a
            member, (num_members, *shape). ``ragged`` gives a list of one array a member, each
            (any length, *shape).
        missing: what stands in an array that a failed chunk did not return.
        dtype: of the array.
        members: maps the size of the population to the members that have a row, in order; None for
            all.
    """

    name: str
    shape: tuple[int, ...] = ()
    join: Literal["sum", "chunks", "members", "ragged"] = "members"
    missing: float = math.nan
    dtype: str = "<f8"
    members: Callable[[int], NDArray[np.int64]] | None = None

    @property
    def is_of_members(self) -> bool:
        """Whether the array has a row of its own for every member."""
        return self.join == "members" and self.members is None

    def pack(self, value: Any) -> list[memoryview]:
        """A chunk's array as the buffers whose bytes follow each other."""
        if self.join != "ragged":
            return [np.ascontiguousarray(value, self.dtype).data]
        lengths = np.array([len(array) for array in value], _LENGTH)
        return [lengths.data, *(np.ascontiguousarray(array, self.dtype).data for array in value)]

    def joined(self, arrays: list[Any]) -> Any:
        """The arrays of all chunks, in order, as one."""
        match self.join:
            case "sum":
                total = np.zeros(self.shape, self.dtype)
                for array in arrays:
                    total += array
                return total
            case "chunks":
                return np.array(arrays)
            case "members":
                return np.concatenate(arrays)
        return [array for chunk in arrays for array in chunk]

    def absent(self, num_rows: int) -> Any:
        """What stands for the array of a chunk that failed."""
        if self.join == "ragged":
            return [np.zeros((0, *self.shape), self.dtype)] * num_rows
        array = np.zeros(self._shape(num_rows), self.dtype)
        if self.missing:
            array.fill(self.missing)
        return array

    def read(self, image: bytes, offset: int, num_rows: int) -> tuple[Any, int]:
        """A chunk's array from its result, and where the next one begins.

        Raises:
            ValueError: the result is too short.
        """
        if self.join != "ragged":
            return _read(image, offset, self._shape(num_rows), self.dtype)
        lengths, offset = _read(image, offset, (num_rows,), _LENGTH)
        arrays = []
        for length in lengths.tolist():
            array, offset = _read(image, offset, (length, *self.shape), self.dtype)
            arrays.append(array)
        return arrays, offset

    def num_rows(self, start: int, stop: int, population_size: int) -> int:
        """How many of the members from ``start`` to ``stop`` have a row."""
        if self.members is None:
            return stop - start
        chosen = self.members(population_size)
        return int(np.count_nonzero((chosen >= start) & (chosen < stop)))

    def _shape(self, num_rows: int) -> tuple[int, ...]:
        return (num_rows, *self.shape) if self.join == "members" else self.shape


def pack_chunk(
    records: NDArray[Any], arrays: Mapping[str, Any], specs: tuple[ArraySpec, ...]
) -> bytes:
    """The result of a chunk as bytes: its records and its arrays, or its records alone if it failed
    and there are no arrays.
    """
    if not arrays:
        return records.tobytes()
    buffers = [buffer for spec in specs for buffer in spec.pack(arrays[spec.name])]
    return b"".join([records.tobytes(), *buffers])


def unpack_chunk(
    result: bytes, start: int, stop: int, population_size: int, specs: tuple[ArraySpec, ...]
) -> dict[str, Any]:
    """The arrays of one chunk, of the members from ``start`` to ``stop``.

    Raises:
        ValueError: the result is too short or too long.
    """
    offset = (stop - start) * MEMBER.itemsize
    failed = len(result) == offset
    arrays = {}
    for spec in specs:
        num_rows = spec.num_rows(start, stop, population_size)
        if failed:
            arrays[spec.name] = spec.absent(num_rows)
        else:
            arrays[spec.name], offset = spec.read(result, offset, num_rows)
    if len(result) != offset:
        raise ValueError(
            f"the result of members {start} to {stop - 1} must have {offset} bytes, got "
            f"{len(result)}"
        )
    return arrays


def unpack_chunks(
    results: list[bytes], bounds: Bounds, specs: tuple[ArraySpec, ...]
) -> tuple[NDArray[Any], dict[str, Any]]:
    """The records of all members and the joined arrays by name, from the chunks' results in
    order.
    """
    if not specs:
        return np.frombuffer(b"".join(results), MEMBER), {}
    images = [
        result[: (stop - start) * MEMBER.itemsize]
        for result, (start, stop) in zip(results, bounds, strict=True)
    ]
    chunks = [
        unpack_chunk(result, start, stop, bounds[-1][1], specs)
        for result, (start, stop) in zip(results, bounds, strict=True)
    ]
    arrays = {spec.name: spec.joined([chunk[spec.name] for chunk in chunks]) for spec in specs}
    return np.frombuffer(b"".join(images), MEMBER), arrays


def _read(
    image: bytes, offset: int, shape: tuple[int, ...], dtype: Any
) -> tuple[NDArray[Any], int]:
    count = math.prod(shape)
    stop = offset + count * np.dtype(dtype).itemsize
    if count < 0 or stop > len(image):
        raise ValueError(f"the result must have {stop} bytes at least, got {len(image)}")
    return np.frombuffer(image, dtype, count, offset).reshape(shape), stop
