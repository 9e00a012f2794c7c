"""A small container: a read-only root, 64 MB of /dev/shm or a read-only one, a user without a name, a
home or a folder for temporary files, and closed standard output. All works, with the same bits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.errors import UserError
from esengine.launch.mpirun.mpi_needs import with_home
from esengine.ranks import shared_folder
from tests.conftest import REPOSITORY, Run
from tests.support.words import words

_USER = "--user --map-user=54321 --map-group=54321 --keep-caps --mount"
_PLACE = """
set -e
memory=$1; shift
mount --bind . .
mount -t tmpfs -o $memory tmpfs /dev/shm
mount -o remount,ro,bind /
cd "$PWD"
exec setpriv --ambient-caps=-all --inh-caps=-all env -i PATH=/usr/bin:/bin "$@"
"""
TRAIN = (
    "train openai-es --env-id CartPole-v1 --population-size 16 --generations 2 --seed 1 --ranks 2 "
    "--run-dir"
)
LATER = {
    "evaluate usual --episodes 2 --json {} --ranks": "returns.json",
    "collect --policy usual --episodes 2 --out {} --ranks": "some.npz",
    "report usual --no-film --out {}": "page.html",
}
"""Commands, and the file that each writes."""


def in_a_small_container(
    folder: Path, memory: str, command: str, closed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run ``esengine COMMAND`` there; ``closed`` is the shell's ``>&-``, say."""
    program = [f"PYTHONPATH={REPOSITORY}", sys.executable, "-P", "-m", "esengine", *words(command)]
    outer = ["unshare", *words(_USER), "bash", "-c", _PLACE, "_", memory, *program]
    return subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "_", *outer],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    trial = in_a_small_container(tmp_path, "size=1m", "--version")
    if "unshare" in trial.stderr or "mount" in trial.stderr:
        pytest.skip(f"needs namespaces of users: {trial.stderr}")
    return tmp_path


def test_a_run_has_the_same_bits_in_a_small_container(place: Path, esengine_here: Run) -> None:
    usual = esengine_here(*words(TRAIN), "usual", "--quiet")
    assert usual.returncode == 0, usual.stderr
    for folder, memory, closed in (("run", "size=64m", ">&-"), ("other", "ro", "")):
        result = in_a_small_container(place, memory, f"{TRAIN} {folder}", closed)
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        policy = "policy.safetensors"
        assert (place / folder / policy).read_bytes() == (place / "usual" / policy).read_bytes()

    assert "return" in result.stdout
    for command, name in LATER.items():
        closed = ">&-" if name == "returns.json" else ">&- 2>&- <&-"
        there, here = (["2"], ["1"]) if command.endswith("--ranks") else ([], [])
        result = in_a_small_container(
            place, "size=64m", " ".join([command.format(name), *there]), closed
        )
        assert (result.returncode, result.stderr) == (0, ""), command
        elsewhere = esengine_here(*words(command.format(f"usual.{name}")), *here)
        assert elsewhere.returncode == 0, elsewhere.stderr
        assert (place / name).read_bytes() == (place / f"usual.{name}").read_bytes(), command
    shown = in_a_small_container(place, "size=64m", "status usual").stdout
    assert shown == esengine_here("status", "usual").stdout

    written = [name for file in LATER.values() for name in (file, f"usual.{file}")]
    assert {path.name for path in place.iterdir()} == {"usual", "run", "other", *written}


def test_the_folder_of_launches_is_where_files_can_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("shm", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(shared_folder, "ROOT", tmp_path / "shm")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert shared_folder.find_root() == tmp_path / "shm"
    (tmp_path / "shm").rmdir()
    assert shared_folder.find_root() == tmp_path / "temporary"
    (tmp_path / "temporary").rmdir()
    with pytest.raises(UserError, match=r"neither .*shm nor .* set TMPDIR"):
        shared_folder.find_root()


def test_every_environment_has_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/mine")
    assert with_home()["HOME"] == "/mine"
    monkeypatch.delenv("HOME")
    assert with_home()["HOME"] == os.path.expanduser("~")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # a user without a name
    assert with_home()["HOME"] == "/"
