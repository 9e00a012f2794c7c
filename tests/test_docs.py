"""The manual is built without a warning, and shows the flags of every command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from esengine.launch.command_table import COMMANDS
from esengine.launch.settings.methods import METHODS
from tests.conftest import REPOSITORY
from tests.support.words import words


def test_the_manual_is_built_without_warnings(tmp_path: Path) -> None:
    for name in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(name, reason="needs the extra [docs]")
    command = [
        sys.executable,
        *words("-m sphinx --fail-on-warning --keep-going -q -d"),
        str(tmp_path / "trees"),
    ]
    built = subprocess.run(
        [*command, REPOSITORY / "docs", tmp_path / "html"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    flags = (tmp_path / "html" / "flags.html").read_text()
    for name in (*COMMANDS, *(f"train {method}" for method in METHODS)):
        assert f"esengine {name}" in flags
    assert flags.count("--eval-every") >= len(METHODS)
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert (tmp_path / "html" / f"{page.stem}.html").exists()
