"""A run writes and removes its own files alone, and follows no link that somebody laid."""

from __future__ import annotations

import ast
import os
from pathlib import Path

import numpy as np
import pytest

from esengine.errors import UserError
from esengine.storage.checkpoint import (
    Checkpoint,
    checkpoints,
    load_newest,
    remove_after,
    remove_unfinished,
    save_checkpoint,
)
from esengine.storage.files import append_whole, remove_strays, replace_lasting, replacing
from tests.conftest import REPOSITORY
from tests.support.modules import sources, tree

STATE = {"mean": np.zeros(2)}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of somebody else."""
    folder = tmp_path / "outside"
    (folder / ".ssh").mkdir(parents=True)
    (folder / "2024001").mkdir()
    for name in (".ssh/id", ".bashrc", "2024001/invoice.txt"):
        (folder / name).write_text("precious")
    return folder


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_link_is_replaced_and_its_target_left_alone(outside: Path, tmp_path: Path) -> None:
    link = tmp_path / "report.html"
    link.symlink_to(outside / ".bashrc")
    replace_lasting(link, b"page")
    assert link.read_bytes() == b"page"
    assert not link.is_symlink()
    assert (outside / ".bashrc").read_text() == "precious"


def test_a_file_with_a_second_name_is_copied_before_it_grows(outside: Path, tmp_path: Path) -> None:
    rows = tmp_path / "metrics.jsonl"
    rows.hardlink_to(outside / ".bashrc")
    append_whole(rows, b" row")
    assert rows.read_text() == "precious row"
    assert (outside / ".bashrc").read_text() == "precious"


def test_pipes_and_devices_in_the_place_of_a_file_are_replaced(tmp_path: Path) -> None:
    pipe, device = tmp_path / "best.json", tmp_path / "done.json"
    os.mkfifo(pipe)
    device.symlink_to("/dev/null")
    for path in (pipe, device):
        replace_lasting(path, b"record")
        assert path.read_bytes() == b"record"
        assert not path.is_symlink()
    replace_lasting(Path("/dev/null"), b"to nowhere")
    assert Path("/dev/null").is_char_device()


def test_nothing_is_left_aside_when_a_writer_fails(tmp_path: Path) -> None:
    target = tmp_path / "curve.png"
    target.write_text("old")
    writer = replacing(target)
    writer.__enter__().write_text("half")
    writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert contents(tmp_path) == {"curve.png"}
    assert target.read_text() == "old"


def test_strays_of_killed_writers_are_removed_and_nothing_else(outside: Path) -> None:
    stray = outside / f".aside-{'0f' * 8}-curve.png"
    stray.write_text("half")
    (outside / f".aside-{'1f' * 8}-link").symlink_to(outside / ".bashrc")
    before = contents(outside) - {stray.name}
    remove_strays(outside)
    assert contents(outside) == before


def test_lines_are_not_appended_through_a_link(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to(outside / ".bashrc")
    with pytest.raises(OSError, match="symbolic link"):
        append_whole(tmp_path / "metrics.jsonl", b"{}\n")
    assert (outside / ".bashrc").read_text() == "precious"


def test_checkpoints_behind_a_link_are_refused(outside: Path, tmp_path: Path) -> None:
    link = tmp_path / "checkpoints"
    link.symlink_to(outside)
    before = contents(outside)
    remove_unfinished(link)
    for use in (checkpoints, load_newest):
        with pytest.raises(UserError, match="got the link"):
            use(link)
    with pytest.raises(UserError, match="got the link"):
        save_checkpoint(link, Checkpoint(1, STATE, {}), keep=1)
    assert contents(outside) == before


def test_a_users_files_among_the_checkpoints_stay(outside: Path) -> None:
    before = contents(outside)
    for generation in (1, 2, 3):
        save_checkpoint(outside, Checkpoint(generation, STATE, {}), keep=1)
    remove_unfinished(outside)
    remove_after(outside, None)
    assert contents(outside) == before


def test_a_note_in_a_checkpoint_neither_hides_it_nor_is_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Checkpoint(1, STATE, {}), keep=1)
    note = tmp_path / "000001" / "note.txt"
    note.write_text("precious")
    loaded = load_newest(tmp_path)
    assert loaded is not None
    for generation in (1, 2, 3):
        save_checkpoint(tmp_path, Checkpoint(generation, STATE, {}), keep=1)
    remove_unfinished(tmp_path)
    assert "precious" in [path.read_text() for path in tmp_path.rglob("note.txt")]


def test_a_checkpoint_takes_no_users_folder_away(outside: Path) -> None:
    before = contents(outside)
    with pytest.raises(FileExistsError):
        save_checkpoint(outside, Checkpoint(2024001, STATE, {}), keep=1)
    assert contents(outside) == before


WRITERS = {
    "esengine/storage/files.py",
    "esengine/storage/checkpoint.py",
    "esengine/storage/numpy_files.py",  # into memory
    *("esengine/ranks/node_memory.py", "esengine/ranks/shared_folder.py"),
    "esengine/ranks/mpi_library.py",
    *("esengine/ranks/world.py", "esengine/ranks/guard.py"),  # shared memory
    "esengine/isolation/zygote.py",  # /proc
    *(f"esengine/programs/{name}.py" for name in ("child", "inputs", "program")),  # scratch folders
    *("launch/mpirun/local_ranks.py", "launch/mpirun/caller.py"),  # the folder of a launch
    "launch/runs/run_lock.py",
    "launch/terminal/output.py",  # /dev/null
    "launch/runs/run_directory.py",
    "launch/slurm/submission.py",
}
"""Files that may create, rename or remove by themselves."""
CALLS = {"write_text", "write_bytes", "rename", "unlink", "rmtree", "mkstemp", "touch"}


def test_files_are_written_by_one_helper() -> None:
    wrong = []
    for path in sources("esengine", "algorithms", "launch"):
        name = str(path.relative_to(REPOSITORY))
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Call) or name in WRITERS:
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            mode = node.args[1] if called == "open" and len(node.args) > 1 else None
            writes = isinstance(mode, ast.Constant) and set("wax+") & set(str(mode.value))
            if called in CALLS or writes:
                wrong.append(f"{name}:{node.lineno} {called}")
    assert wrong == []
