"""What README says is run as it stands, in order, in one folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from esengine.launch.local_mpi import environment_of_ranks
from esengine.launch.methods import METHODS
from tests.conftest import REPOSITORY

README = (REPOSITORY / "README.md").read_text()
NOT_RUN = ("make ", "pip install ")  # the test suite itself runs in what they build


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def environment() -> dict[str, str]:
    return {**environment_of_ranks(), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_every_command_works_in_the_order_of_the_page(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    commands = [line for block in blocks("bash") for line in block.splitlines() if not line.startswith(NOT_RUN)]
    assert len(commands) == 10
    for command in commands:
        result = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=200, check=False
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
    assert float(re.search(r'"value": ([^,]+)', (tmp_path / "runs/ellipsoid/best.json").read_text()).group(1)) < 1e-9  # type: ignore[union-attr]


def test_every_python_block_works(tmp_path: Path) -> None:
    assert len(blocks("python")) == 2
    for block in blocks("python"):
        (tmp_path / "block.py").write_text(block)
        subprocess.run([sys.executable, "block.py"], cwd=tmp_path, check=True, capture_output=True, timeout=120)


def test_every_method_is_in_the_table() -> None:
    for method in METHODS:
        assert f"| `{method}`" in README
    for path in re.findall(r"`(algorithms/\w+\.py)`", README):
        assert (REPOSITORY / path).is_file()
