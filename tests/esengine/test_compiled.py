"""Kernels are loaded from the disk as long as nothing that they are made of has changed."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.compiled import kernels as compiled

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


def called(folder: Path, **variables: str) -> tuple[float, int]:
    """What the kernel gives in a process of its own, and how often it was found in the cache."""
    command = [
        sys.executable,
        "-B",
        "-c",
        _CALL,
    ]  # without bytecode, whose time stamps are of whole seconds
    shown = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | variables,
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


def test_kernels_beside_the_sources_serve_whoever_keeps_them_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(_PARTS)
    (tmp_path / "whole.py").write_text(_WHOLE)
    assert called(tmp_path) == (109.5, 0)
    assert called(tmp_path, NUMBA_CACHE_DIR=str(tmp_path / "elsewhere")) == (109.5, 1)


def test_a_damaged_cache_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(_PARTS)
    (tmp_path / "whole.py").write_text(_WHOLE)
    called(tmp_path)
    images = itertools.cycle([b"", b"no pickle", b"\x80\x05K\x01."])
    for kept in (tmp_path / "__pycache__").glob("*.nb?"):
        kept.write_bytes(next(images))
    assert called(tmp_path) == (109.5, 0)
    assert called(tmp_path) == (109.5, 1)


@pytest.mark.parametrize("kind", ["none", "own", "others can write", "link", "file", "open place"])
def test_kernels_are_loaded_from_no_folder_that_others_can_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    folder = tmp_path / f"esengine-kernels-{os.geteuid()}"
    match kind:
        case "own":
            folder.mkdir(mode=0o700)
        case "others can write":
            folder.mkdir()
            folder.chmod(0o777)
        case "link":
            folder.symlink_to(tmp_path.parent)
        case "file":
            folder.write_text("")
        case "open place":
            tmp_path.chmod(0o777)

    monkeypatch.setattr(compiled, "_TEMPORARY", ())
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    found = compiled._own_folder.__wrapped__()
    if kind not in ("none", "own"):
        assert found is None
        return

    assert found == folder
    monkeypatch.setattr(compiled, "_own_folder", lambda: folder)
    place = compiled._Temporary(test_a_damaged_cache_is_made_anew, __file__)
    assert place.is_safe() == (kind == "own")
    place.ensure_cache_path()
    assert place.is_safe()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
