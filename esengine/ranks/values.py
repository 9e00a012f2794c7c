"""Values that ranks send each other, as bytes. The receiver names the type that it expects, and
nothing else is made of what arrives: no message is a pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

if TYPE_CHECKING:
    from mpi4py import MPI

_ARRAY = 1
_MOST_BYTES = 1 << 30  # of one call of MPI, which counts in 32 bits


class _Array(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


def encode(value: object) -> bytes:
    """The bytes of a value: None, numbers, texts, bytes, arrays, and what is made of them: lists,
    tuples, dictionaries, named tuples and dataclasses.

    Raises:
        TypeError: it holds something else.
    """
    try:
        return msgspec.msgpack.encode(value, enc_hook=_plain)
    except (OverflowError, RecursionError) as error:
        raise TypeError(str(error)) from error


def can_encode(value: object) -> bool:
    """Whether `encode` takes a value."""
    try:
        encode(value)
    except TypeError:
        return False
    return True


def decode(body: bytes | bytearray, kind: Any = Any) -> Any:
    """The value in bytes of `encode`.

    Args:
        body: the bytes.
        kind: its type. ``Any`` reads dataclasses as dictionaries, and tuples as lists.

    Raises:
        ValueError: the bytes are of another type.
    """
    return msgspec.msgpack.decode(body, type=kind, dec_hook=_checked, ext_hook=_array)


def broadcast(comm: MPI.Comm, value: object, kind: Any, own: bytes | None = None) -> Any:
    """The value of rank 0 on every rank.

    Args:
        comm: the ranks, which call this together.
        value: ignored on all other ranks.
        kind: see `decode`.
        own: what `encode` returned for the value, if it is known.
    """
    is_root = comm.rank == 0
    body = (encode(value) if own is None else own) if is_root else b""
    size = np.array([len(body)])
    comm.Bcast(size)

    image = bytearray(body) if is_root else bytearray(int(size[0]))
    for first in range(0, len(image), _MOST_BYTES):
        comm.Bcast(memoryview(image)[first : first + _MOST_BYTES])
    return value if is_root else decode(image, kind)


def exchange(comm: MPI.Comm, value: object, kind: Any) -> list[Any]:
    """The small values of all ranks on every rank, in their order. All ranks call this together.
    See `broadcast`.
    """
    body = encode(value)
    sizes = np.zeros(comm.size, np.int32)
    comm.Allgather(np.array([len(body)], np.int32), sizes)

    image = bytearray(int(sizes.sum()))
    comm.Allgatherv(body, [image, sizes])
    ends = np.cumsum(sizes)
    return [decode(image[end - size : end], kind) for size, end in zip(sizes, ends, strict=True)]


def _plain(value: object) -> object:
    """What stands for a value of a type that the format does not have."""
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return value.item()
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        if not array.dtype.hasobject and array.dtype.names is None:
            parts = _Array(array.dtype.str, array.shape, array.tobytes())
            return msgspec.msgpack.Ext(_ARRAY, msgspec.msgpack.encode(parts))
    if hasattr(value, "__float__"):
        return float(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to other ranks")


def _array(code: int, data: memoryview) -> np.ndarray[Any, Any]:
    if code != _ARRAY:
        raise ValueError(f"a value must be an array, got one of kind {code}")
    parts = msgspec.msgpack.decode(data, type=_Array)
    return np.frombuffer(parts.data, parts.dtype).reshape(parts.shape).copy()


def _checked(kind: Any, value: object) -> object:
    """An array where a dataclass wants one."""
    if not isinstance(value, np.ndarray):
        raise ValueError(f"a value must be an array, got {type(value).__name__}")
    return value
