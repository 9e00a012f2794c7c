"""Checkpoints: exact, atomic, and robust against what happens to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from esengine.checkpoint import Checkpoint, checkpoints, load_newest, save_checkpoint
from esengine.errors import UserError


def checkpoint(generation: int, finished: dict[int, bytes] | None = None) -> Checkpoint:
    arrays = {"strategy/mean": np.arange(5.0) + generation, "strategy/generation": np.array(generation)}
    return Checkpoint(generation, arrays, {"env_steps": 10 * generation, "best_fitness": None}, finished or {})


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    original = checkpoint(3, {5: b"abc", 1: b"", 7: bytes(range(256))})
    save_checkpoint(tmp_path, original, keep=3)
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert (loaded.generation, loaded.counters, loaded.finished) == (3, original.counters, original.finished)
    for name, array in original.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array)
        assert (loaded.arrays[name].dtype, loaded.arrays[name].shape) == (array.dtype, array.shape)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for generation in range(1, 6):
        save_checkpoint(tmp_path, checkpoint(generation), keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["000004", "000005"]


def test_more_finished_chunks_are_newer(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(2), keep=5)
    save_checkpoint(tmp_path, checkpoint(2, {0: b"x"}), keep=5)
    save_checkpoint(tmp_path, checkpoint(2, {0: b"x", 1: b"y"}), keep=5)
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert len(loaded.finished) == 2


def cut_short(folder: Path) -> None:
    path = folder / "state.safetensors"
    path.write_bytes(path.read_bytes()[:-3])


def flip_a_bit(folder: Path) -> None:
    path = folder / "state.safetensors"
    image = bytearray(path.read_bytes())
    image[-1] ^= 1
    path.write_bytes(bytes(image))


def lose_the_arrays(folder: Path) -> None:
    (folder / "state.safetensors").unlink()


def lose_the_record(folder: Path) -> None:
    (folder / "state.json").unlink()


def spoil_the_record(folder: Path) -> None:
    (folder / "state.json").write_text('{"format": 1, "gen')


def claim_a_huge_header(folder: Path) -> None:
    (folder / "state.safetensors").write_bytes(b"\xff" * 16)


@pytest.mark.parametrize(
    "damage", [cut_short, flip_a_bit, lose_the_arrays, lose_the_record, spoil_the_record, claim_a_huge_header]
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    for generation in (1, 2):
        save_checkpoint(tmp_path, checkpoint(generation), keep=3)
    damage(tmp_path / "000002")
    with pytest.warns(UserWarning, match="000002 is damaged"):
        loaded = load_newest(tmp_path)
    assert loaded is not None
    assert loaded.generation == 1


def test_a_half_written_folder_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    (tmp_path / ".000002.123").mkdir()
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert loaded.generation == 1


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    path = tmp_path / "000001" / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(UserError, match="must have format 1, got 99"):
        load_newest(tmp_path)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "missing") is None
