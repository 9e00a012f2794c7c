"""Kernels are loaded from the disk as long as nothing that they are made of has changed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_PARTS = """
import math

import numpy as np

from esengine.compiled import kernel

NUMBER = np.float64
SHIFT = 0.5
TABLE = (1.0, (2.0, 3.0))

@kernel
def inner(x):
    return 3.0 * x

@kernel(inline="always")
def inlined(x):
    return x + 100.0

@kernel
def called_by_its_module(x, more=0.0):
    return max(math.ceil(x) - 0.5, x) + more
"""
_WHOLE = """
from esengine.compiled import kernel
import parts
from parts import NUMBER, SHIFT, TABLE, inlined, inner

@kernel
def outer(x):
    return NUMBER(inlined(inner(x)) + parts.called_by_its_module(SHIFT) + TABLE[1][1])
"""
_CALL = "from whole import outer; print(outer(2.0), sum(outer.stats.cache_hits.values()))"


def called(folder: Path) -> tuple[float, int]:
    """What the kernel gives in a process of its own, and how often it was found in the cache."""
    command = [
        sys.executable,
        "-B",
        "-c",
        _CALL,
    ]  # without bytecode, whose time stamps are of whole seconds
    shown = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=folder
    ).stdout.split()
    return float(shown[0]), int(shown[1])


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        ("return 3.0 * x", "return 4.0 * x", 111.5),
        ("return x + 100.0", "return x + 200.0", 209.5),
        ("SHIFT = 0.5", "SHIFT = 1.5", 110.5),
        ("(2.0, 3.0)", "(2.0, 4.0)", 110.5),
        ("math.ceil", "math.floor", 109.5),
        ("max(", "min(", 109.5),
        ("(x) - 0.5", "(x) + 0.5", 110.5),
        ("more=0.0", "more=2.0", 111.5),
        ("np.float64", "np.int64", 109.0),
    ],
)
def test_a_change_in_another_module_is_seen(
    tmp_path: Path, before: str, after: str, value: float
) -> None:
    (tmp_path / "parts.py").write_text(_PARTS)
    (tmp_path / "whole.py").write_text(_WHOLE)
    assert called(tmp_path) == (109.5, 0)
    assert called(tmp_path) == (109.5, 1)
    (tmp_path / "parts.py").write_text(_PARTS.replace(before, after))
    assert called(tmp_path) == (value, 0)
    (tmp_path / "parts.py").write_text(_PARTS)
    assert called(tmp_path) == (109.5, 1)
