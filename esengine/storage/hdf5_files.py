"""Checks HDF5 files before a library reads them: they may claim any size, and name other files."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esengine.storage.files import opened, size_of
from esengine.storage.numpy_files import check_room

_KINDS = "biufS"  # of dtypes: numbers and texts of fixed length


def check_hdf5(path: Path, prefix: str) -> None:
    """Check the groups of a file whose names begin with ``prefix``; nothing of them is unpacked.

    Raises:
        ValueError: it is no regular file, the groups need more memory than its size allows, or
            they lie in another file.
        OSError: it is no HDF5 file, or cannot be read.
    """
    import h5py

    with opened(path) as file:
        file_bytes = size_of(file)
    needed = 0
    with h5py.File(path, "r") as file:
        for name in file:
            if name.startswith(prefix):
                for dataset in _datasets(file, name):
                    needed += _memory_of(dataset, file_bytes)
                    check_room(needed, file_bytes)


def _datasets(group: Any, name: str) -> Iterator[Any]:
    """The datasets at a name and below. Raises ValueError for one that is elsewhere too."""
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{group.name}/{name} is a link, which is never followed")
    found = group[name]
    if h5py.h5o.get_info(found.id).rc != 1:  # it would be read several times, or for ever
        raise ValueError(f"{found.name} is there under several names")
    if not isinstance(found, h5py.Group):
        yield found
        return
    for below in found:
        yield from _datasets(found, below)


def _memory_of(dataset: Any, file_bytes: int) -> int:
    """The memory that reading a dataset takes at most, its numbers as float64."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise ValueError(f"{dataset.name} is no array")
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{dataset.name} lies in another file, which is never read")
    size = math.prod(int(length) for length in dataset.shape or ())
    item_bytes = max(8, int(dataset.dtype.itemsize))
    chunk_bytes = math.prod(int(length) for length in dataset.chunks or (0,)) * item_bytes
    if dataset.dtype.kind in _KINDS:
        return max(size * item_bytes, chunk_bytes)

    if h5py.check_vlen_dtype(dataset.dtype) is None and not h5py.check_string_dtype(dataset.dtype):
        raise ValueError(f"{dataset.name} claims {dataset.dtype}, which is no number and no text")
    needed = max(size * item_bytes, chunk_bytes)
    check_room(needed, file_bytes)
    for index in range(size):  # many of them may name the same bytes
        needed += len(dataset[_place(index, dataset.shape)]) * item_bytes
        check_room(needed, file_bytes)
    return needed


def _place(index: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The place of an item of an array, counted in its order in memory."""
    place = []
    for size in reversed(shape):
        index, rest = divmod(index, size)
        place.append(rest)
    return tuple(reversed(place))
