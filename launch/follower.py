"""Reading the rows that another process appends to ``metrics.jsonl``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Follower:
    """Hands on each row of a run once, as it comes.

    Args:
        path: the run directory.
        show: gets the rows; may be replaced between calls.
        after: the last generation that was shown already.
    """

    def __init__(self, path: Path, show: Callable[[dict[str, Any]], None], after: int = 0) -> None:
        self._path, self.show, self._generation = path / "metrics.jsonl", show, after
        self._inode, self._offset = 0, 0

    def __call__(self) -> None:
        """Hand on the rows that have come since the last call; a half-written last line waits for its rest."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115
        except OSError:
            return  # not begun, or being replaced
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._offset:  # replaced by a resumed run
                self._inode, self._offset = status.st_ino, 0
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                row = _row(line)
                if row is not None and row["generation"] > self._generation:
                    self._generation = row["generation"]
                    self.show(row)


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a whole line, or None for one that a crash left torn."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get("generation"), int) else None
