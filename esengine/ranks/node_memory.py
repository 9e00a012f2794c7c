"""Memory that the ranks of one node share: files without a name, created by the rank that leads the
node.

They are no part of any file system, so the size of ``/dev/shm``, 64 MB in most containers, does not
limit them. The other ranks open a file through the leader's entry in ``/proc``. So the kernel frees
it when the last rank that uses it ends, and a killed run leaves nothing behind. Every rank keeps
the noise table open, so that any of them can lead the node when its leader has died.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.memory import free_bytes
from esengine.ranks.shared_folder import find_root

Arrays = Mapping[str, NDArray[Any]]

NOISE = -1
"""Key of the first noise table; others have the numbers below it. The key of a publication is its
version.
"""
_FREE = -(1 << 62)  # key of an unused row of the index
INDEX_ROWS = 16
"""Files that a run needs at most."""
_ALIGNMENT = 64
_SMALL = 1 << 24  # bytes of a file that needs no look at the free memory


class NodeMemory:
    """The shared files of one node, each under an integer key.

    Args:
        address: the leader's `address`. None makes this rank the leader, which alone can
            `allocate`, `write` and `remove`.
        num_rows: files that a leader can create at most.

    Attributes:
        address: where the other ranks of the node find the index of all files.
    """

    def __init__(self, address: str | None = None, num_rows: int = INDEX_ROWS) -> None:
        self._files: dict[int, BinaryIO] = {}
        self._own_index: BinaryIO | None = None
        self._num_rows = num_rows
        if address is None:
            self.lead()
            return

        self.follow(address)
        for key in self._index[:, 0].tolist():
            if _FREE < key <= NOISE:  # kept open for `lead`
                self._files[key] = open(self.find(key), "r+b", buffering=0)  # noqa: SIM115

    def lead(self) -> None:
        """Become the leader, with the noise tables but without publications."""
        self._own_index = _unnamed_file(self._num_rows * 16, "an index", "fewer runs")
        self.follow(f"/proc/{os.getpid()}/fd/{self._own_index.fileno()}")
        self._index[:] = _FREE, 0
        for key, file in self._files.items():
            self._enter(key, file)

    def follow(self, address: str) -> None:
        """Look up files at this leader from now on.

        Raises:
            OSError: that rank has ended.
        """
        self.address = address
        index = map_array(Path(address), np.int64, -1, writable=True)
        self._index = index.reshape(-1, 2)  # key and file descriptor
        self._num_rows = len(self._index)

    def allocate(self, key: int, num_bytes: int, what: str, flag: str) -> Path:
        """Reserve a file of ``num_bytes`` zeros.

        Args:
            key: of the file.
            num_bytes: its size.
            what: what the file holds, for the error.
            flag: the flag that makes it smaller, for the error.

        Raises:
            UserError: the shared memory of the node has no room.
        """
        file = _unnamed_file(num_bytes, what, flag)
        self._files[key] = file
        self._enter(key, file)
        return self.find(key)

    def holds(self, key: int) -> bool:
        """Whether this rank, as the leader, has created this file."""
        return key in self._files

    def image(self, key: int) -> bytes:
        """The bytes of a file."""
        return self.find(key).read_bytes()

    def write(self, key: int, header: Mapping[str, Any], arrays: Arrays) -> Path:
        """Write a bundle of a JSON header and arrays."""
        image = pack(header, arrays)
        path = self.allocate(
            key, len(image), "the population's state", "a smaller population or policy"
        )
        self._files[key].write(image)
        return path

    def find(self, key: int) -> Path:
        """The path at which any rank of the node can open a file of its leader.

        Raises:
            KeyError: there is no such file, or it was removed.
        """
        rows = np.flatnonzero(self._index[:, 0] == key)
        if len(rows) == 0:
            raise KeyError(key)
        return Path(self.address).parent / str(self._index[rows[0], 1])

    def remove(self, key: int) -> None:
        """Close a file. Ranks that have mapped it keep it."""
        self._index[self._index[:, 0] == key] = _FREE, 0
        self._files.pop(key).close()

    def close(self) -> None:
        for file in self._files.values():
            with suppress(OSError):  # user code has closed what it has not opened
                file.close()
        self._files.clear()
        if self._own_index is not None:
            self._index[:] = _FREE, 0
            self._own_index.close()

    def _enter(self, key: int, file: BinaryIO) -> None:
        row = np.flatnonzero(self._index[:, 0] == _FREE)[0]
        self._index[row] = key, file.fileno()


def check_room(what: str, num_bytes: int, flag: str) -> None:
    """Raise a UserError if the node has no room for a file of this size."""
    if free_bytes() < num_bytes:
        raise UserError(_no_room(what, num_bytes, flag))


def map_array(
    path: Path, dtype: type[np.generic], count: int, writable: bool = False
) -> NDArray[Any]:
    """The file as a flat array over shared pages, mapped as long as the array exists; a count of -1
    takes all of it.
    """
    with open(path, "r+b" if writable else "rb") as file:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), dtype, count)


def map_bundle(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the read-only arrays of a bundle, without a copy."""
    with open(path, "rb") as file:
        return unpack(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The header and the arrays as one block of bytes, each array on a 64-byte boundary. Published
    messages have the same form.
    """
    described: list[tuple[str, str, list[int], int]] = []
    offset = 0
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}

    for name, array in contiguous.items():
        described.append((name, array.dtype.str, list(np.shape(arrays[name])), offset))
        offset += -(-array.nbytes // _ALIGNMENT) * _ALIGNMENT

    text = json.dumps({"header": dict(header), "arrays": described}).encode()
    start = -(-(8 + len(text)) // _ALIGNMENT) * _ALIGNMENT
    image = bytearray(start + offset)
    image[: 8 + len(text)] = struct.pack("<Q", len(text)) + text

    for (_, _, _, position), array in zip(described, contiguous.values(), strict=True):
        image[start + position : start + position + array.nbytes] = array.tobytes()

    return bytes(image)


def unpack(image: memoryview | bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The inverse of `pack`; the arrays are views of ``image``."""
    (length,) = struct.unpack_from("<Q", image, 0)
    text = json.loads(bytes(image[8 : 8 + length]))
    start = -(-(8 + length) // _ALIGNMENT) * _ALIGNMENT
    arrays = {}
    for name, dtype, shape, offset in text["arrays"]:
        flat = np.frombuffer(image, np.dtype(dtype), math.prod(shape), start + offset)
        arrays[name] = flat.reshape(shape)
    return text["header"], arrays


def _unnamed_file(num_bytes: int, what: str, flag: str) -> BinaryIO:
    """A file of this size that the kernel frees when nobody has it open; the caller closes it."""
    if num_bytes > _SMALL:
        check_room(what, num_bytes, flag)  # the kernel would rather kill a process than refuse
    file = _anonymous_file()
    try:
        os.posix_fallocate(file.fileno(), 0, num_bytes)
    except OSError as error:
        file.close()
        raise UserError(_no_room(what, num_bytes, flag)) from error
    return file


def _anonymous_file() -> BinaryIO:
    try:
        return open(os.memfd_create("esengine", os.MFD_CLOEXEC), "r+b", buffering=0)
    except (AttributeError, OSError):  # a Python for old systems, or a sandbox that forbids it
        return tempfile.TemporaryFile(dir=find_root(), buffering=0)


def _no_room(what: str, num_bytes: int, flag: str) -> str:
    needed, there = (
        f"{round_(10 * number / 2**20) / 10:,.1f} MB"
        for round_, number in ((math.ceil, num_bytes), (math.floor, free_bytes()))
    )
    return (
        f"{socket.gethostname()} must have {needed} of memory free for {what}, has {there}; shrink "
        f"it with {flag}, or give it more memory"
    )
