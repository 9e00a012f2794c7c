"""Checkpoints: one folder each, written aside, flushed and renamed.

The folder ``NNNNNN`` holds the state after that many generations. ``NNNNNN+KKKKKK`` also holds the
first KKKKKK finished chunks of the generation in which the run was stopped. The last by name is the
furthest. Arrays are in ``state.safetensors``, everything else in ``state.json`` with the SHA-256 of
both files, so that a checksum covers every byte that is read. Neither file holds code.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import secrets
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.storage.files import (
    flush_folder,
    parse_arrays,
    read_json,
    read_safetensors,
    remove,
    write_arrays,
    write_lasting,
)

FORMAT = 2
_NAME = re.compile(r"[0-9]{6,}(\+[0-9]{6,})?")
_ASIDE = re.compile(rf"\.(?P<replaced>replaced\.)?(?P<checkpoint>{_NAME.pattern})\.[0-9a-f]+")
_FILES = ("state.safetensors", "state.json")
_TEMPORARY = re.compile(r"\.tmp\w+")  # left by the safetensors package when it is killed


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to resume exactly.

    Attributes:
        generation: number of completed generations.
        arrays: the strategy's and the problem's state.
        counters: env_steps, evaluations and similar JSON numbers.
        finished: results by chunk of an incomplete generation, else empty.
        run: the identity of the run, or "" where none is known.
    """

    generation: int
    arrays: dict[str, NDArray[Any]]
    counters: dict[str, Any]
    finished: dict[int, bytes] = field(default_factory=dict)
    run: str = ""

    @property
    def name(self) -> str:
        return f"{self.generation:06d}" + (f"+{len(self.finished):06d}" if self.finished else "")


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint and remove the oldest beyond ``keep``.

    Makes the folder if its parent exists.

    Raises:
        OSError: the disk is full or read-only, or the run directory is gone; older checkpoints are
            untouched.
        UserError: the folder is a link.
    """
    _check_own(folder)
    folder.mkdir(exist_ok=True)
    final = folder / checkpoint.name
    if final.exists() and not _is_checkpoint(final):
        reason = "is no checkpoint, but has the name of one; move it away"
        raise FileExistsError(errno.EEXIST, reason, str(final))
    unique = secrets.token_hex(8)
    aside = folder / f".{checkpoint.name}.{unique}"
    replaced = folder / f".replaced.{checkpoint.name}.{unique}"
    units = sorted(checkpoint.finished)
    payloads = [checkpoint.finished[unit] for unit in units]
    arrays = checkpoint.arrays | {
        "finished/units": np.array(units, np.int64),
        "finished/lengths": np.array([len(payload) for payload in payloads], np.int64),
        "finished/bytes": np.frombuffer(b"".join(payloads), np.uint8),
    }

    aside.mkdir()
    try:
        size, digest = write_arrays(aside / "state.safetensors", arrays)
        record = {
            "format": FORMAT,
            "generation": checkpoint.generation,
            "run": checkpoint.run,
            "counters": checkpoint.counters,
            "bytes": size,
            "sha256": digest,
        }
        sealed = json.dumps(record | {"seal": _seal(record)}, indent=1)
        write_lasting(aside / "state.json", sealed.encode())
        flush_folder(aside)
        if final.exists():
            final.rename(replaced)
        aside.rename(final)
    except OSError:
        remove(aside)
        raise

    flush_folder(folder)
    _remove_own(replaced)
    for old in checkpoints(folder)[:-keep]:
        _remove_own(old)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """The complete checkpoints of a folder, the furthest last. Other files and folders are ignored.

    Raises:
        UserError: the folder is a link.
    """
    _check_own(folder)
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    found = (path for path in named if _is_checkpoint(path))
    return sorted(found, key=_progress)


def _check_own(folder: Path) -> None:
    """Raises UserError for a folder of checkpoints that is a link."""
    if folder.is_symlink():
        raise UserError(
            f"the checkpoints of a run must be in its own folder, got the link {folder}; replace "
            f"it by the folder that it points to"
        )


def _is_checkpoint(path: Path) -> bool:
    """Return whether a folder is a checkpoint, whatever else somebody has put into it."""
    holds_a_file = any((path / name).exists() for name in _FILES)
    return not path.is_symlink() and (holds_a_file or _is_own(path))


def _remove_own(path: Path) -> None:
    """Remove a checkpoint. One that holds other files as well stays."""
    if _is_own(path):
        remove(path)


def _is_own(path: Path) -> bool:
    """Return whether a run may remove what has a checkpoint's name: a folder with files of a
    checkpoint alone, or an empty file, but no link.
    """
    if path.is_symlink() or not path.exists():
        return False
    if not path.is_dir():
        return path.is_file() and path.stat().st_size == 0
    try:
        names = [file.name for file in path.iterdir()]
    except PermissionError:
        return True  # loading it reports that
    return all(name in _FILES or _TEMPORARY.fullmatch(name) for name in names)


def remove_unfinished(folder: Path) -> None:
    """Put back the checkpoint that a killed writer was replacing, and remove its incomplete files.

    Only the run's one writer may call it.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    for aside in list(folder.iterdir()):
        name = _ASIDE.fullmatch(aside.name)
        if name is None or not _is_own(aside):
            continue
        original = folder / name["checkpoint"]
        if name["replaced"] and not original.exists():
            aside.rename(original)
        else:
            remove(aside)


def load_newest(folder: Path) -> Checkpoint | None:
    """The furthest checkpoint that is whole; None if there is none.

    Skips damaged ones with a warning and leaves them in place. The run's one writer removes them
    with `remove_after`.

    Raises:
        UserError: the newest has an unknown format, or may be whole but cannot be read.
    """
    for path in reversed(checkpoints(folder)):
        try:
            return load_checkpoint(path)
        except UserError:
            raise
        except (OSError, ValueError) as error:
            warnings.warn(
                f"checkpoint {path} is damaged ({error}); trying the one before", stacklevel=2
            )
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint.

    Raises:
        UserError: its format is unknown, or it may be whole but cannot be read.
        OSError, ValueError: it is damaged.
    """
    try:
        record = _open_record(path, read_json(path / "state.json"))
        image = read_safetensors(path / "state.safetensors")
    except (OSError, MemoryError) as error:
        refused = (errno.EACCES, errno.EPERM, errno.ENOMEM, errno.EMFILE)
        if isinstance(error, MemoryError) or error.errno in refused:
            # It may be whole, so it must not be skipped and then removed.
            raise UserError(
                f"checkpoint {path} must be readable, but: {error}; make it readable, or move it "
                f"away to resume from the one before"
            ) from error
        raise
    if len(image) != record["bytes"] or hashlib.sha256(image).hexdigest() != record["sha256"]:
        raise ValueError("its checksum does not match")
    return _rebuilt(path.name, record, parse_arrays(image))


def _open_record(path: Path, record: Any) -> dict[str, Any]:
    """The record of ``state.json`` once its seal is checked.

    Raises:
        UserError: it is whole but of another format, or of another program.
        ValueError: it is damaged.
    """
    if not isinstance(record, dict):
        raise ValueError("state.json is no JSON object")
    sealed = dict(record)
    seal = sealed.pop("seal", None)
    written_as = sealed.get("format")
    whole = seal == _seal(sealed)
    if written_as != FORMAT and (whole or seal is None):
        raise UserError(
            f"checkpoint {path} must have format {FORMAT}, got {written_as!r:.40}; use the "
            f"version of esengine that wrote it, or move it away to resume from the one before"
        )
    if not whole:
        raise ValueError("the checksum of state.json does not match")
    has_numbers = isinstance(sealed.get("generation"), int)
    has_numbers &= isinstance(sealed.get("counters"), dict)
    if not has_numbers or not {"bytes", "sha256"} <= set(sealed):
        raise ValueError("state.json lacks a part")
    return sealed


def _rebuilt(name: str, record: Mapping[str, Any], arrays: dict[str, NDArray[Any]]) -> Checkpoint:
    missing = np.zeros((0, 0))  # of another form than all of them
    joined, lengths, units = (
        arrays.pop(f"finished/{part}", missing) for part in ("bytes", "lengths", "units")
    )
    forms = [f"{part.dtype}, {part.ndim}" for part in (joined, lengths, units)]
    if forms != ["uint8, 1", "int64, 1", "int64, 1"] or units.size != lengths.size:
        raise ValueError("the finished chunks are not whole")

    ends = np.cumsum(lengths)
    if (lengths < 0).any() or (int(ends[-1]) if ends.size else 0) != joined.size:
        raise ValueError("the finished chunks have other lengths than they claim")
    finished = {
        int(unit): joined[end - length : end].tobytes()
        for unit, length, end in zip(units, lengths, ends, strict=True)
    }

    run = str(record.get("run", ""))
    checkpoint = Checkpoint(record["generation"], arrays, dict(record["counters"]), finished, run)
    if checkpoint.name != name:
        raise ValueError(f"it holds the state of {checkpoint.name}")
    return checkpoint


def remove_after(folder: Path, checkpoint: Checkpoint | None) -> None:
    """Remove the checkpoints after the one that was loaded, since they are damaged and would crowd
    out good ones.
    """
    for path in reversed(checkpoints(folder)):
        if checkpoint is not None and path.name == checkpoint.name:
            return
        _remove_own(path)


def _seal(record: Mapping[str, Any]) -> str:
    """The SHA-256 of a record's values, independent of white space and order in a file."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _progress(path: Path) -> tuple[int, int]:
    generation, _, chunks = path.name.partition("+")
    return int(generation), int(chunks or 0)
