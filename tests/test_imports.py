"""What is imported early is light: the rest comes when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = (
    "torch",
    "numba",
    "gymnasium",
    "matplotlib",
    "rich",
    "tyro",
    "PIL",
    "mpi4py.MPI",
    "mujoco",
    "onnx",
    "scipy",
)
USAGE = "from esengine.launch.cli import main; main(['--help'])"


@pytest.mark.parametrize("code", ["import esengine", USAGE])
def test_heavy_modules_wait_until_they_are_needed(code: str) -> None:
    asked = f"import sys\n{code}\nprint('loaded', *(set({HEAVY}) & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", asked], capture_output=True, text=True, check=True
    ).stdout
    assert shown.splitlines()[-1] == "loaded"
