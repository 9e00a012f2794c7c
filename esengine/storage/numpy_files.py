"""Reads NumPy's files, npy and npz, and writes npz.

A file can claim arrays of any size, and deflate packs zeros a thousand times. So a file is refused
if its arrays would take more memory than its own size allows, before any is taken. Arrays that
nobody asks for are not unpacked, and pickled objects are never read.
"""

from __future__ import annotations

import io
import math
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.memory import memory_bytes
from esengine.storage.files import opened, size_of

_READ_AT_ONCE = 1 << 20
_HEADER_BYTES = 1 << 16
_PIECE_BYTES = 1 << 16  # of an array that are written at once
_FREE_BYTES = 64 << 20  # that any file may unpack to
_MOST_PACKED = 16  # bytes that a byte of a larger file may unpack to
_INVALID_HEADER = (
    *(ValueError, TypeError, SyntaxError, RecursionError, MemoryError),
    tokenize.TokenError,  # NumPy lets it out
)
_KINDS = "biufU"  # of dtypes: numbers and texts


class _Header(NamedTuple):
    """What an npy file claims of its array, and the bytes after it that were read with it."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    rest: bytes

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def memory_bytes(self) -> int:
        """The memory of the numbers as float64, which readers convert them to."""
        return self.size * max(8, self.dtype.itemsize)


class _ReadsLittle(io.BufferedReader):
    """A file that gives little at once, since a zip claims the size of its own directory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _READ_AT_ONCE:
            raise ValueError(f"its directory claims {size} bytes")
        return super().read(_READ_AT_ONCE if size is None or size < 0 else size)


def read_npy(path: Path) -> NDArray[Any]:
    """The array of an npy file. Raises ValueError for any other file, and OSError."""
    with opened(path) as file:
        header = _read_header(file, "it")
        start = file.tell() - len(header.rest)
        if header.num_bytes > size_of(file) - start:
            raise ValueError(
                f"it claims {header.num_bytes} bytes of {header.dtype}, the file has "
                f"{size_of(file) - start}"
            )
        check_room(header.memory_bytes, size_of(file))
        return _read_array(file, header, "it")


def read_npz(path: Path, names: Collection[str]) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file that have one of these names.

    Raises:
        ValueError: it is no whole npz of plain arrays, or unpacks to more than its size allows.
        OSError: it cannot be read.
    """
    try:
        with opened(path) as file, zipfile.ZipFile(_ReadsLittle(file.raw)) as archive:
            headers: dict[str, _Header] = {}
            for name, member in _members(archive, names).items():
                with archive.open(member) as part:
                    headers[name] = _checked(name, _read_header(part, name), member)
            check_room(sum(each.memory_bytes for each in headers.values()), size_of(file))

            arrays = {}
            for name in headers:
                with archive.open(f"{name}.npy") as part:
                    arrays[name] = _read_array(part, _read_header(part, name), name)
            return arrays
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OverflowError) as error:
        raise ValueError(str(error)) from error


def npy_image(array: NDArray[Any]) -> bytes:
    """An npy of an array."""
    image = io.BytesIO()
    np.lib.format.write_array(image, array, allow_pickle=False)
    return image.getvalue()


def npz_image(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An npz whose bytes depend on the arrays alone: NumPy's own holds the time of writing.

    Arrays that would unpack to more than `read_npz` allows are not packed.
    """
    image = _zipped(arrays, zipfile.ZIP_DEFLATED)
    needed = sum(array.size * max(8, array.itemsize) for array in arrays.values())
    fits = needed <= most_unpacked(len(image))
    return image if fits else _zipped(arrays, zipfile.ZIP_STORED)


def _zipped(arrays: Mapping[str, NDArray[Any]], packing: int) -> bytes:
    image = io.BytesIO()
    with zipfile.ZipFile(image, "w", packing) as archive:
        for name in sorted(arrays):
            member = zipfile.ZipInfo(f"{name}.npy")
            member.compress_type = packing
            member.file_size = arrays[name].nbytes + _HEADER_BYTES  # at most
            with archive.open(member, "w") as part:
                _write_npy(part, arrays[name])
    return image.getvalue()


def _write_npy(file: IO[bytes], array: NDArray[Any]) -> None:
    """Write an npy without a copy of a large array."""
    if array.nbytes <= _PIECE_BYTES or not array.flags.c_contiguous:
        np.lib.format.write_array(file, array, allow_pickle=False)
        return
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    image = array.reshape(-1).view(np.uint8)
    for first in range(0, len(image), _PIECE_BYTES):
        file.write(image[first : first + _PIECE_BYTES].data)


def _members(archive: zipfile.ZipFile, names: Collection[str]) -> dict[str, zipfile.ZipInfo]:
    """The parts of a zip that hold the arrays of these names."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name not in names or name == member.filename:
            continue
        if name in found:
            raise ValueError(f"it holds {name} twice")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is packed in another way than by deflate")
        found[name] = member
    return found


def _checked(name: str, header: _Header, member: zipfile.ZipInfo) -> _Header:
    """The header, once it claims what the zip claims of the part."""
    if header.num_bytes > member.file_size:
        raise ValueError(
            f"{name} claims {header.num_bytes} bytes, and the zip has {member.file_size} of it"
        )
    return header


def check_room(needed: int, file_bytes: int) -> None:
    """Raises ValueError if arrays need more memory than the size of their file allows."""
    if needed > most_unpacked(file_bytes):
        raise ValueError(
            f"its arrays claim {needed} bytes of memory, more than {most_unpacked(file_bytes)} "
            f"for a file of {file_bytes} bytes; write it without compression"
        )


def most_unpacked(file_bytes: int) -> int:
    return min(max(_FREE_BYTES, _MOST_PACKED * file_bytes), memory_bytes() // 2)


def _read_header(file: IO[bytes], name: str) -> _Header:
    """What an npy file claims. Raises ValueError for one of pickled objects."""
    start = file.read(_HEADER_BYTES)
    head = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0
        if version != (1, 0):
            read = np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read(head)
    except _INVALID_HEADER as error:
        raise ValueError(f"{name} has an invalid header: {error}") from error
    if dtype.hasobject:
        raise ValueError(f"{name} holds pickled objects, which are never read")
    if dtype.kind not in _KINDS or not dtype.itemsize or any(size < 0 for size in shape):
        raise ValueError(f"{name} claims {dtype} of shape {shape}, which is no array of numbers")
    return _Header(dtype, shape, fortran_order, start[head.tell() :])


def _read_array(file: IO[bytes], header: _Header, name: str) -> NDArray[Any]:
    """The array after the header, in parts, so that a signal ends it soon."""
    image = bytearray(header.num_bytes)
    image[: len(header.rest)] = header.rest[: len(image)]
    filled = min(len(header.rest), len(image))
    while filled < len(image):
        part = file.read(min(_READ_AT_ONCE, len(image) - filled))
        if not part:
            raise ValueError(f"{name} claims {len(image)} bytes and has {filled}")
        image[filled : filled + len(part)] = part
        filled += len(part)

    array = np.frombuffer(image, header.dtype, header.size)
    return array.reshape(header.shape, order="F" if header.fortran_order else "C")
