"""Runs that are kept one a line as they are made, so that long measurements can be stopped at any
time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def read_runs(files: Sequence[Path]) -> list[dict[str, Any]]:
    """All runs of some files; those that do not exist yet have none."""
    return [
        json.loads(line)
        for file in files
        if file.exists()
        for line in file.read_text().splitlines()
    ]


def add_run(files: Sequence[Path], row: dict[str, Any]) -> None:
    """Add a run to the first file, if there is one."""
    if files:
        with files[0].open("a") as file:
            file.write(json.dumps(row) + "\n")
