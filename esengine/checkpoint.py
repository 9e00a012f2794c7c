"""Checkpoints: one folder each, written aside, flushed and renamed, with a checksum; arrays as safetensors, no code.

``NNNNNN`` holds the state after that many generations; ``NNNNNN+KKKKKK`` also the first KKKKKK finished chunks of the
generation that was open when the run was stopped. The newest by name is the furthest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from esengine.errors import UserError

FORMAT = 1
_NAME = re.compile(r"^\d{6,}(\+\d{6,})?$")


@dataclass(frozen=True)
class Checkpoint:
    """Everything a run needs to go on exactly.

    Attributes:
        generation: number of completed generations.
        arrays: the strategy's and the problem's state.
        counters: env_steps, evaluations and the like, JSON numbers.
        finished: results by chunk of the generation that was open, empty at a boundary.
    """

    generation: int
    arrays: dict[str, NDArray[Any]]
    counters: dict[str, Any]
    finished: dict[int, bytes] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.generation:06d}" + (f"+{len(self.finished):06d}" if self.finished else "")


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write a checkpoint and remove the oldest beyond ``keep``.

    Raises:
        OSError: the disk is full or read-only; older checkpoints are untouched.
    """
    final = folder / checkpoint.name
    aside = folder / f".{checkpoint.name}.{os.getpid()}"
    aside.mkdir(parents=True)
    try:
        units = sorted(checkpoint.finished)
        payloads = [checkpoint.finished[unit] for unit in units]
        arrays = checkpoint.arrays | {
            "finished/units": np.array(units, np.int64),
            "finished/lengths": np.array([len(payload) for payload in payloads], np.int64),
            "finished/bytes": np.frombuffer(b"".join(payloads), np.uint8),
        }
        image = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
        state = {
            "format": FORMAT,
            "generation": checkpoint.generation,
            "counters": checkpoint.counters,
            "sha256": hashlib.sha256(image).hexdigest(),
        }
        _write_flushed(aside / "state.safetensors", image)
        _write_flushed(aside / "state.json", json.dumps(state, indent=1).encode())
        replaced = folder / f".replaced.{checkpoint.name}.{os.getpid()}"
        if final.exists():
            final.rename(replaced)
        aside.rename(final)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _flush_folder(folder)
    for old in checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints by name, the furthest last."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.match(path.name)), key=_progress)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed writer left half written. Only the run's one writer may call it."""
    for aside in folder.glob(".*") if folder.is_dir() else ():
        shutil.rmtree(aside, ignore_errors=True)


def load_newest(folder: Path) -> Checkpoint | None:
    """The furthest checkpoint that is whole; a damaged one is passed over with a warning. None if there is none.

    Damaged ones are left as they are; the run's one writer removes them with `remove_after`.

    Raises:
        UserError: the newest is of a format that this version does not know.
    """
    for path in reversed(checkpoints(folder)):
        try:
            return load_checkpoint(path)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            if isinstance(error, UserError):
                raise
            warnings.warn(f"checkpoint {path} is damaged ({error}); trying the one before", stacklevel=2)
    return None


def load_checkpoint(path: Path) -> Checkpoint:
    """Read one checkpoint.

    Raises:
        UserError: its format is unknown.
        OSError, ValueError, KeyError, TypeError, SafetensorError: it is damaged.
    """
    state = json.loads((path / "state.json").read_text())
    if state["format"] != FORMAT:
        raise UserError(
            f"checkpoint {path} must have format {FORMAT}, got {state['format']}; use the version of esengine that wrote it"
        )
    image = (path / "state.safetensors").read_bytes()
    if hashlib.sha256(image).hexdigest() != state["sha256"]:
        raise ValueError("its checksum does not match")
    arrays: dict[str, NDArray[Any]] = load(image)
    units, lengths, joined = (arrays.pop(f"finished/{name}") for name in ("units", "lengths", "bytes"))
    ends = np.cumsum(lengths)
    finished = {int(unit): joined[end - length : end].tobytes() for unit, length, end in zip(units, lengths, ends, strict=True)}
    return Checkpoint(int(state["generation"]), arrays, dict(state["counters"]), finished)


def remove_after(folder: Path, checkpoint: Checkpoint | None) -> None:
    """Remove what claims to be further than the checkpoint that was loaded: it is damaged, and would crowd out good ones."""
    for path in reversed(checkpoints(folder)):
        if checkpoint is not None and path.name == checkpoint.name:
            return
        shutil.rmtree(path, ignore_errors=True)


def _progress(path: Path) -> tuple[int, int]:
    generation, _, chunks = path.name.partition("+")
    return int(generation), int(chunks or 0)


def _write_flushed(path: Path, image: bytes) -> None:
    with open(path, "wb") as file:
        file.write(image)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
