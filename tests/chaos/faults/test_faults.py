"""The short form of ``make faults``: some of the calls of two commands."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("name", "stride"), [("a search", "31"), ("collect", "4")])
def test_a_system_call_that_fails_loses_nothing(name: str, stride: str) -> None:
    program = [sys.executable, "-m", "tests.chaos.faults", "--only", name, "--stride", stride]
    result = subprocess.run(program, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"| {name} |" in result.stdout
