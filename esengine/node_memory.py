"""Memory that the ranks of one node share: one folder a run in ``/dev/shm``, one file an array bundle.

A file is written aside and renamed, so a rank that maps it sees all of it. Every rank keeps a shared lock on the folder's
``alive`` file; the kernel drops it when the rank dies, however it dies, so the next start can tell the folders that
nobody uses any more and removes them.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import socket
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError

Arrays = Mapping[str, NDArray[Any]]

ROOT = Path(os.environ.get("ESENGINE_SHM_ROOT", "/dev/shm"))
FOLDER_VARIABLE = "ESENGINE_NODE_FOLDER"
"""Names the folder that a local launcher made, and removes, for its ranks."""
READY = "ready"
"""File in that folder which says that every rank has started and handles signals."""
_PREFIX = "esengine-"
_ALIGNMENT = 64


class NodeMemory:
    """One run's folder of shared files on this node.

    Args:
        folder: the folder, made by one rank of the node with `create`.
        owner: whether this rank removes the folder when it closes.
    """

    @classmethod
    def create(cls) -> NodeMemory:
        """A new folder, locked before it has its name, after removing those whose ranks are all gone."""
        remove_abandoned()
        memory = cls(Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=ROOT)), owner=True)
        final = memory.folder.with_name(memory.folder.name[1:])
        memory.folder = memory.folder.rename(final)
        return memory

    def __init__(self, folder: Path, owner: bool) -> None:
        self.folder = folder
        self._owner = owner
        self._alive = os.open(folder / "alive", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_SH)

    def allocate(self, name: str, num_bytes: int, flag: str) -> Path:
        """Reserve a file of ``num_bytes`` zeros; a node without room is told which flag shrinks the need.

        Raises:
            UserError: the shared memory of the node has no room.
        """
        path = self.folder / name
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, num_bytes)
        except OSError as error:
            os.unlink(path)
            raise UserError(_no_room(name, num_bytes, flag)) from error
        finally:
            os.close(descriptor)
        return path

    def write(self, name: str, header: Mapping[str, Any], arrays: Arrays) -> Path:
        """Write a bundle of a JSON header and arrays, complete as soon as it has its name."""
        image = pack(header, arrays)
        path = self.allocate(f"{name}.part", len(image), "a smaller population or policy")
        with open(path, "r+b") as file:
            file.write(image)
        final = self.folder / name
        path.rename(final)
        return final

    def remove(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._alive)
        if self._owner:
            shutil.rmtree(self.folder, ignore_errors=True)


def check_room(name: str, num_bytes: int, flag: str) -> None:
    """Raises UserError if the node has no room for a file that is still to be made."""
    if free_bytes() < num_bytes:
        raise UserError(_no_room(name, num_bytes, flag))


def free_bytes() -> int:
    """Free bytes in the node's shared memory."""
    status = os.statvfs(ROOT)
    return status.f_bavail * status.f_frsize


def remove_abandoned() -> list[Path]:
    """Remove the folders that no living process holds, and return them."""
    removed = []
    for folder in ROOT.glob(f"{_PREFIX}*"):
        try:
            alive = os.open(folder / "alive", os.O_RDWR)
        except OSError:
            continue  # another user's, or one that is being made or removed at this moment
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
        finally:
            os.close(alive)
    return removed


def map_array(path: Path, dtype: type[np.generic], count: int, writable: bool = False) -> NDArray[Any]:
    """The file as a flat array over shared pages; the mapping lives as long as the array."""
    with open(path, "r+b" if writable else "rb") as file:
        access = mmap.ACCESS_WRITE if writable else mmap.ACCESS_READ
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=access), dtype, count)


def map_bundle(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and read-only arrays of a bundle, without a copy."""
    with open(path, "rb") as file:
        return unpack(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))


def pack(header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """Header and arrays as one block of bytes, arrays on 64-byte boundaries. It is a message's body as well."""
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
        name: np.frombuffer(image, np.dtype(dtype), int(np.prod(shape, dtype=np.int64)), start + offset).reshape(shape)
        for name, dtype, shape, offset in text["arrays"]
    }
    return text["header"], arrays


def _no_room(name: str, num_bytes: int, flag: str) -> str:
    return (
        f"{ROOT} on {socket.gethostname()} must have {_megabytes(num_bytes)} free for {name}, has {_megabytes(free_bytes())}; "
        f"shrink it with {flag} or enlarge {ROOT}"
    )


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.0f} MB"
