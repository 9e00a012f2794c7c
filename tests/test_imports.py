"""What is imported early is light: the rest comes when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from esengine.launch.settings.methods import METHODS
from esengine.launch.settings.parse_train import train_help

HEAVY = (
    "torch",
    "numba",
    "gymnasium",
    "matplotlib",
    "rich",
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


def test_the_help_of_a_method_is_the_same_without_slow_packages() -> None:
    show = """
import sys
from esengine.launch.settings.stand_ins import SLOW, use_stand_ins
use_stand_ins()
from esengine.launch.settings.methods import METHODS
from esengine.launch.settings.parse_train import train_help
pages = [train_help(method, brief=False) for method in METHODS]
assert all(type(sys.modules[name]).__name__ == "_StandIn" for name in SLOW if name in sys.modules)
print(*pages, sep="", end="")
"""
    shown = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert shown.stdout == "".join(train_help(method, brief=False) for method in METHODS)
