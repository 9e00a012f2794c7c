"""Checkpoints: exact, atomic, and robust against what happens to files."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from esengine.errors import UserError
from esengine.storage import Checkpoint, checkpoints, load_newest, save_checkpoint
from esengine.storage.checkpoint import remove_after, remove_unfinished


def checkpoint(generation: int, finished: dict[int, bytes] | None = None) -> Checkpoint:
    arrays = {
        "strategy/mean": np.arange(5.0) + generation,
        "strategy/generation": np.array(generation),
    }
    return Checkpoint(
        generation, arrays, {"env_steps": 10 * generation, "best_fitness": None}, finished or {}
    )


def test_a_checkpoint_comes_back_exactly(tmp_path: Path) -> None:
    original = checkpoint(3, {5: b"abc", 1: b"", 7: bytes(range(256))})
    save_checkpoint(tmp_path, original, keep=3)
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert (loaded.generation, loaded.counters, loaded.finished) == (
        3,
        original.counters,
        original.finished,
    )
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


def change_a_counter(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text().replace('"env_steps": 20', '"env_steps": 21'))


def change_the_format(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text().replace('"format": 2', '"format": 3'))


def nest_deeply(folder: Path) -> None:
    (folder / "state.json").write_text("[" * 100_000)


def be_the_one_before(folder: Path) -> None:
    for path in (folder.parent / "000001").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())


def be_a_pipe(folder: Path) -> None:
    (folder / "state.json").unlink()
    os.mkfifo(folder / "state.json")


def be_endless(folder: Path) -> None:
    (folder / "state.safetensors").unlink()
    (folder / "state.safetensors").symlink_to("/dev/zero")


def be_a_hole_of_terabytes(folder: Path) -> None:
    os.truncate(folder / "state.safetensors", 1 << 42)


def be_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        flip_a_bit,
        lose_the_arrays,
        lose_the_record,
        spoil_the_record,
        claim_a_huge_header,
        change_a_counter,
        change_the_format,
        nest_deeply,
        be_the_one_before,
        be_a_pipe,
        be_endless,
        be_a_hole_of_terabytes,
        be_a_file,
    ],
)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    for generation in (1, 2):
        save_checkpoint(tmp_path, checkpoint(generation), keep=3)
    damage(tmp_path / "000002")
    with pytest.warns(UserWarning, match="000002 is damaged"):
        loaded = load_newest(tmp_path)
    assert loaded is not None
    assert loaded.generation == 1
    remove_after(tmp_path, loaded)
    assert [path.name for path in tmp_path.iterdir()] == ["000001"]


def test_a_half_written_folder_is_no_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    (tmp_path / ".000002.123").mkdir()
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert loaded.generation == 1


@pytest.mark.parametrize("found", ["1", "99", '"the weights of another program"'])
def test_a_newer_older_or_foreign_format_is_refused(tmp_path: Path, found: str) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)
    (tmp_path / "000001" / "state.json").write_text(f'{{"format": {found}}}')
    with pytest.raises(
        UserError,
        match=r"must have format 2, got .*use the version of esengine that wrote it, or move it "
        r"away",
    ):
        load_newest(tmp_path)


def test_a_checkpoint_that_may_not_be_read_is_neither_passed_over_nor_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, checkpoint(1), keep=3)

    def refuse(path: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(
        "esengine.storage.checkpoint.read_json", refuse
    )  # the superuser, who may run the tests, reads everything
    with pytest.raises(UserError, match=r"must be readable, but: .*Permission denied"):
        load_newest(tmp_path)


def test_the_arrays_are_an_ordinary_safetensors_file(tmp_path: Path) -> None:
    arrays = {f"a/{kind}": np.arange(6).reshape(2, 3).astype(kind) for kind in "dfeqlihbQIHB?"}
    arrays |= {
        "empty": np.zeros((0, 4)),
        "number": np.array(2.5),
        "transposed": np.arange(6.0).reshape(2, 3).T,
    }
    save_checkpoint(tmp_path, Checkpoint(1, arrays, {}), keep=1)
    loaded = load_file(tmp_path / "000001" / "state.safetensors")
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)


def test_a_writer_that_is_killed_at_any_moment_leaves_the_old_one_or_the_new_one(
    tmp_path: Path,
) -> None:
    """kill -9 before the n-th system call, for every n, while the only checkpoint is written
    anew.
    """
    old, new = checkpoint(2), Checkpoint(2, checkpoint(5).arrays, {"env_steps": 77})
    seen = set()
    for moment in itertools.count(1):
        folder = tmp_path / str(moment)
        save_checkpoint(folder, old, keep=1)
        child = os.fork()
        if child == 0:
            _die_at_call(moment, partial(save_checkpoint, folder, new, 1))
        _, status = os.waitpid(child, 0)
        remove_unfinished(folder)
        assert [path.name for path in folder.iterdir()] == ["000002"]
        loaded = load_newest(folder)
        assert loaded is not None
        whole = old if loaded.counters == old.counters else new
        assert loaded.counters == whole.counters
        np.testing.assert_array_equal(loaded.arrays["strategy/mean"], whole.arrays["strategy/mean"])
        seen.add(loaded.counters["env_steps"])
        shutil.rmtree(folder)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            break
    assert seen == {20, 77}
    assert moment > 20


def _die_at_call(moment: int, action: Callable[[], object]) -> None:
    count = 0

    def watch(frame: object, event: str, function: Any) -> None:
        nonlocal count
        file = type(getattr(function, "__self__", None)).__name__ in ("FileIO", "ScandirIterator")
        if event == "c_call" and (file or function.__module__ == "posix"):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(watch)
        action()
        sys.setprofile(None)
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "missing") is None
