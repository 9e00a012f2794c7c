"""Memory that the ranks of one node share: files without a name in ``/dev/shm``, made by the rank
that leads the node.

A file loses its name as soon as it is made, and the other ranks open it through the leader's entry
in ``/proc``. So the kernel frees it with the last rank that uses it, however the ranks end, and a
killed run leaves nothing. Every rank keeps the noise table open, so that any of them can lead the
node when its leader has died.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError

Arrays = Mapping[str, NDArray[Any]]

ROOT = Path(os.environ.get("ESENGINE_SHM_ROOT", "/dev/shm"))
NOISE = -1
"""Key of the noise table; publications have their version as key."""
_FREE = -2  # key of an unused row of the index
_INDEX_ROWS = 16
_ALIGNMENT = 64


class NodeMemory:
    """The shared files of one node, each under an integer key.

    Args:
        address: the leader's `address`; None makes this rank the leader, who alone can `allocate`,
            `write` and `remove`.

    Attributes:
        address: where the other ranks of the node find the index of all files.
    """

    def __init__(self, address: str | None = None) -> None:
        self._files: dict[int, BinaryIO] = {}
        self._own_index: BinaryIO | None = None
        if address is None:
            self.lead()
            return
        self.follow(address)
        if NOISE in self._index[:, 0]:
            # - kept for `lead`
            self._files[NOISE] = open(self.find(NOISE), "r+b", buffering=0)  # noqa: SIM115

    def lead(self) -> None:
        """Become the leader, with the noise table and without publications."""
        self._own_index = _unnamed_file(_INDEX_ROWS * 16, "an index", "fewer runs")
        self.follow(f"/proc/{os.getpid()}/fd/{self._own_index.fileno()}")
        self._index[:] = _FREE, 0
        for key, file in self._files.items():
            self._note(key, file)

    def follow(self, address: str) -> None:
        """Find files at another leader's from now on.

        Raises:
            OSError: that rank has ended.
        """
        self.address = address
        self._index = map_array(Path(address), np.int64, 2 * _INDEX_ROWS, writable=True).reshape(
            -1, 2
        )

    def allocate(self, key: int, num_bytes: int, what: str, flag: str) -> Path:
        """Reserve a file of ``num_bytes`` zeros; a node without room is told which flag shrinks the
        need.

        Raises:
            UserError: the shared memory of the node has no room.
        """
        file = _unnamed_file(num_bytes, what, flag)
        self._files[key] = file
        self._note(key, file)
        return self.find(key)

    def holds(self, key: int) -> bool:
        """Whether this rank, the leader, has made this file."""
        return key in self._files

    def image(self, key: int) -> bytes:
        """All bytes of a file."""
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
        """Where any rank of the node can open a file that its leader has made.

        Raises:
            KeyError: there is none, or no more.
        """
        rows = np.flatnonzero(self._index[:, 0] == key)
        if len(rows) == 0:
            raise KeyError(key)
        return Path(self.address).parent / str(self._index[rows[0], 1])

    def remove(self, key: int) -> None:
        """Let a file go; ranks that have mapped it keep it."""
        self._index[self._index[:, 0] == key] = _FREE, 0
        self._files.pop(key).close()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        if self._own_index is not None:
            self._index[:] = _FREE, 0
            self._own_index.close()

    def _note(self, key: int, file: BinaryIO) -> None:
        row = np.flatnonzero(self._index[:, 0] == _FREE)[0]
        self._index[row] = key, file.fileno()


def check_room(what: str, num_bytes: int, flag: str) -> None:
    """Raises UserError if the node has no room for a file that is still to be made."""
    if free_bytes() < num_bytes:
        raise UserError(_no_room(what, num_bytes, flag))


def free_bytes() -> int:
    """Free bytes in the node's shared memory."""
    status = os.statvfs(ROOT)
    return status.f_bavail * status.f_frsize


def map_array(
    path: Path, dtype: type[np.generic], count: int, writable: bool = False
) -> NDArray[Any]:
    """The file as a flat array over shared pages; the mapping lives as long as the array."""
    with open(path, "r+b" if writable else "rb") as file:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), dtype, count)


def map_bundle(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and read-only arrays of a bundle, without a copy."""
    with open(path, "rb") as file:
        return unpack(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Header and arrays as one block of bytes, arrays on 64-byte boundaries. It is a message's body
    as well.
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
    arrays = {
        name: np.frombuffer(
            image, np.dtype(dtype), int(np.prod(shape, dtype=np.int64)), start + offset
        ).reshape(shape)
        for name, dtype, shape, offset in text["arrays"]
    }
    return text["header"], arrays


def _unnamed_file(num_bytes: int, what: str, flag: str) -> BinaryIO:
    # - its owner closes it
    file: BinaryIO = tempfile.TemporaryFile(dir=ROOT, buffering=0)  # noqa: SIM115
    try:
        os.posix_fallocate(file.fileno(), 0, num_bytes)
    except OSError as error:
        file.close()
        raise UserError(_no_room(what, num_bytes, flag)) from error
    return file


def _no_room(what: str, num_bytes: int, flag: str) -> str:
    return (
        f"{ROOT} on {socket.gethostname()} must have {_megabytes(num_bytes)} free for {what}, has "
        f"{_megabytes(free_bytes())}; "
        f"shrink it with {flag} or enlarge {ROOT}"
    )


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MB"
