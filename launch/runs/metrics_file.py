"""The file ``metrics.jsonl``: one row a generation, appended whole or not at all, kept in memory
while the disk is full.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from esengine.storage.files import append_whole, parse_json, replace_lasting

Row = dict[str, Any]

_LINE_BYTES = 1 << 20
_NUMBERS = ("env_steps", "evaluations")
_OPTIONAL = ("fitness_mean", "fitness_max", "fitness_std", "cost_min", "episode_return_eval")


class MetricsFile:
    """The rows of a run.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[bytes] = []  # rows that the disk had no room for

    def add(self, row: Row) -> None:
        """Append a row, after those that wait.

        Raises:
            OSError: the disk is full or gone; the row waits for the next call, and the file ends
                with a whole row.
        """
        self._waiting.append(json.dumps(row).encode() + b"\n")
        self.append_waiting()

    def append_waiting(self) -> None:
        """Append the rows that the disk refused. Raises OSError if it refuses still."""
        if self._waiting:
            append_whole(self.path, b"".join(self._waiting))
            self._waiting = []

    def flush(self) -> None:
        """Make the rows in the file survive a crash of the machine, before a checkpoint relies on
        them.

        Raises:
            OSError: the disk is full or gone.
        """
        if self.path.exists():
            with open(self.path, "rb") as file:
                os.fsync(file.fileno())

    def cut(self, generation: int) -> None:
        """Keep the rows up to a generation, which is where the run goes on from; what a crash cut
        short is dropped.
        """
        if self.path.exists():
            kept = [row for row in self.rows() if row["generation"] <= generation]
            if len(kept) < generation:
                warnings.warn(
                    f"{self.path} has lost rows: {len(kept)} of {generation} are left", stacklevel=2
                )
            replace_lasting(self.path, [b"".join(json.dumps(row).encode() + b"\n" for row in kept)])

    def rows(self) -> list[Row]:
        """All rows up to the first that is none: the last one, if a crash cut it short."""
        return list(self._rows()) if self.path.is_file() else []

    def _rows(self) -> Iterator[Row]:
        with open(self.path, "rb") as file:
            while line := file.readline(_LINE_BYTES):
                row = parse_row(line)
                if row is None:
                    return
                yield row


def parse_row(line: bytes) -> Row | None:
    """The row that a line holds, or None if it is none: cut short, damaged, or not of a run."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    return row if is_row(row) else None


def is_row(row: Any) -> bool:
    """Whether a JSON value is a row that charts can draw and a run can go on from."""
    if not isinstance(row, dict) or not isinstance(row.get("machine"), dict):
        return False
    generation = row.get("generation")
    if (
        isinstance(generation, bool)
        or not isinstance(generation, int)
        or not 0 < generation < 1 << 53
    ):
        return False
    whole = all(_is_number(row.get(name)) for name in _NUMBERS)
    return whole and all(row.get(name) is None or _is_number(row[name]) for name in _OPTIONAL)


def _is_number(value: Any) -> bool:
    """Whether it is a number that a chart can draw."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023
    return whole or isinstance(value, float)
