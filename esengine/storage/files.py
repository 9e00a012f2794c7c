"""Reads files of strangers within bounds, and writes files that must survive a crash.

Nothing that is read here can run code. No reader hangs on a pipe or a device, trusts a length that
a file claims, or takes more memory than the file's own size allows. Files are written aside,
flushed to the disk and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import select
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from esengine.memory import memory_bytes

_ASIDE = re.compile(r"\.aside-[0-9a-f]{16}-.+")
_PATIENCE_MS = 200
HEADER_BYTES = 1 << 20
JSON_BYTES = 16 << 20  # more than any record of ours; parsed JSON takes about twenty times its size


@contextmanager
def opened(path: Path, most: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Args:
        path: the file.
        most: the largest valid size in bytes; default any, for readers that read it in parts.

    Raises:
        ValueError: it is no regular file, or too large.
        OSError: it cannot be opened.
    """
    # Without O_NONBLOCK it would wait for the writer of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise ValueError(f"{path.name} is no regular file")
    with open(descriptor, "rb") as file:
        if most is not None and found.st_size > most:
            raise ValueError(f"{path.name} has {found.st_size} bytes, more than {most}")
        yield file


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """The bytes of a regular file.

    Args:
        path: the file.
        most: the largest valid size in bytes; default a quarter of this machine's memory.

    Raises:
        ValueError: it is no regular file, or too large.
        OSError: it cannot be read.
    """
    limit = memory_bytes() // 4 if most is None else most
    with opened(path, limit) as file:
        return file.read(size_of(file))


def read_end(path: Path, most: int) -> bytes:
    """The last bytes of a regular file, at most ``most``. Raises as `opened`."""
    with opened(path) as file:
        file.seek(max(0, size_of(file) - most))
        return file.read(most)


def read_lines(path: Path, most: int) -> Iterator[list[bytes]]:
    """The lines of a regular file, each with its end, in lists of about ``most`` bytes. Raises as
    `opened`, and ValueError for a line of more than ``most`` bytes.
    """
    with opened(path) as file:
        rest = b""
        while part := file.read(most):
            *lines, rest = (rest + part).split(b"\n")
            if max(len(rest), len(lines[0]) if lines else 0) > most:
                raise ValueError(f"it has a line of more than {most} bytes; move it away")
            if lines:
                yield [line + b"\n" for line in lines]
        if rest:
            yield [rest]


def read_stream(path: Path, most: int) -> bytes:
    """The bytes of a file that a user names, which may be a pipe; a signal's handler may raise.

    Raises:
        ValueError: it gives more than ``most`` bytes.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    with open(descriptor, "rb", buffering=0) as file:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        image = b""
        while len(image) <= most:
            while not waiting.poll(_PATIENCE_MS):
                pass  # Python runs the handlers of signals here
            part = file.read(most + 1 - len(image))
            if part == b"":
                return image
            image += part or b""
    raise ValueError(f"it has more than {most} bytes")


def read_safetensors(path: Path, most_header_bytes: int = HEADER_BYTES) -> bytes:
    """The bytes of a safetensors file, read once its header claims no more than the file has.

    Raises:
        ValueError: it is no regular file, or too large, or its header claims other sizes.
        OSError: it cannot be read.
    """
    with opened(path, memory_bytes() // 4) as file:
        size = size_of(file)
        start = file.read(8)
        header_bytes = int.from_bytes(start, "little")
        if not 0 < header_bytes <= min(most_header_bytes, size - 8):
            raise ValueError(f"its header claims {header_bytes} bytes")
        header = file.read(header_bytes)
        claimed = 8 + header_bytes + _claimed_by(parse_json(header))
        if claimed != size:
            raise ValueError(f"its header claims {claimed} bytes, the file has {size}")
        return start + header + file.read(size)


def _claimed_by(header: Any) -> int:
    """The end of the last array by a safetensors header. Raises ValueError."""
    try:
        arrays = [part for name, part in header.items() if name != "__metadata__"]
        return max((int(part["data_offsets"][1]) for part in arrays), default=0)
    except (AttributeError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise ValueError("its header is no table of arrays") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file of at most `JSON_BYTES`. Raises as `read_bytes` and `parse_json`."""
    return parse_json(read_bytes(path, JSON_BYTES))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, strictly UTF-8 and without repeated keys.

    Raises:
        ValueError: it is no JSON, has a key twice, or is nested too deeply.
    """
    try:
        text = text.decode() if isinstance(text, bytes) else text
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_arrays(image: bytes, most_header_bytes: int = HEADER_BYTES) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file by name.

    Raises:
        ValueError: the file is damaged, or its header claims more than ``most_header_bytes``.
    """
    header_bytes = int.from_bytes(image[:8], "little")
    if header_bytes > min(most_header_bytes, len(image)):
        raise ValueError(f"its header claims {header_bytes} bytes")
    try:
        arrays: dict[str, NDArray[Any]] = load(image)
    except (SafetensorError, KeyError, TypeError) as error:
        raise ValueError(str(error)) from error
    return arrays


def write_lasting(path: Path, image: bytes) -> None:
    """Write a file and flush it to the disk."""
    with open(path, "wb") as file:
        file.write(image)
        file.flush()
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # others have no disk
            os.fsync(file.fileno())


def write_arrays(
    path: Path, arrays: Mapping[str, NDArray[Any]], metadata: dict[str, str] | None = None
) -> tuple[int, str]:
    """Write a safetensors file and flush it to the disk.

    Args:
        path: the file.
        arrays: by name; they are copied once, into the bytes of the file.
        metadata: at most one key, since safetensors writes several in an order that differs
            between processes, and equal runs must give equal bytes.

    Returns:
        the file's number of bytes and their SHA-256.

    Raises:
        OSError: the disk is full or read-only, or the folder is gone.
    """
    image = save({name: np.asarray(array, order="C") for name, array in arrays.items()}, metadata)
    write_lasting(path, image)
    return len(image), hashlib.sha256(image).hexdigest()


def aside_of(path: Path) -> Path:
    """The path of a new file that may become ``path``. Its name cannot be guessed, so nobody has
    laid a link there.
    """
    return path.with_name(f".aside-{secrets.token_hex(8)}-{path.name[-200:]}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Let the ``with`` block write a file aside, then rename it: a reader sees the old bytes or
    the new ones, also after a crash. A link or a pipe at ``path`` is replaced, and what is behind
    it is untouched. Devices and pipes in /dev, such as /dev/stdout, are written to directly.

    Raises:
        OSError: the disk is full or read-only, or the folder is gone; the old file is untouched.
    """
    if path.absolute().is_relative_to("/dev") and path.exists() and not path.is_file():
        yield path
        return

    aside = aside_of(path)
    os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666))
    try:
        yield aside
        flush(aside)
        aside.rename(path)
    except OSError as error:
        remove(aside)
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        remove(aside)
        raise
    flush_folder(path.parent)


def remove_strays(folder: Path) -> None:
    """Remove the files that killed writers left aside in a folder. Links are left alone."""
    for path in folder.iterdir():
        if _ASIDE.fullmatch(path.name) and not path.is_symlink() and path.is_file():
            remove(path)


def replace_lasting(path: Path, image: bytes) -> None:
    """Write a file, or replace it, as `replacing` does."""
    with replacing(path) as aside:
        write_lasting(aside, image)


def write_json(path: Path, value: Any) -> None:
    """Write a value as a JSON file, or replace it, as `replacing` does."""
    replace_lasting(path, json.dumps(value, indent=1).encode() + b"\n")


def append_whole(path: Path, image: bytes) -> None:
    """Append to a file, all bytes or none. A file that has another name as well, as in a backup of
    hard links, is copied first.

    Raises:
        OSError: the disk is full or read-only, the folder is gone, or a link is in the place of
            the file; the file is as it was.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o644)
    try:
        found = os.fstat(descriptor)
        if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
            with replacing(path) as aside:
                shutil.copyfile(path, aside)
            return append_whole(path, image)
        end, written = found.st_size, 0
        try:
            while written < len(image):
                written += os.write(descriptor, image[written:])
        except OSError:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)


def flush(path: Path) -> None:
    """Make a file's bytes survive a crash of the machine."""
    try:
        with opened(path) as file:
            os.fsync(file.fileno())
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), str(path)) from error


def flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a crash of the machine."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with its contents, as far as possible."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):  # a later write reports what could not be removed
        path.unlink(missing_ok=True)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} stands there twice")
        found[name] = value
    return found


def size_of(file: BufferedReader) -> int:
    """The number of bytes of an open file."""
    return os.fstat(file.fileno()).st_size
