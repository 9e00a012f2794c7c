"""The rows of metrics of a run, ``metrics.jsonl``: one a generation, appended by the master."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from esengine.errors import UserError
from esengine.launch.runs.json_lines import LINE_BYTES, Row, blocks_of
from esengine.launch.runs.rows import (
    PLAIN,
    AnyRow,
    decoded,
    is_of_run,
    parse_row,
    row_is_of_run,
)
from esengine.storage.files import append_whole, flush, read_end, replacing


class MetricsFile:
    """The rows of metrics of a run: each is appended whole or not at all, and kept in memory while
    the disk is full.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[bytes] = []  # rows that did not fit on the disk

    def add(self, row: Row) -> None:
        """Append a row, after the waiting ones.

        Raises:
            OSError: the disk is full or gone. The row waits for the next call, and the file ends
                with a whole row.
        """
        try:
            text = json.dumps(row, allow_nan=False)
        except ValueError:  # infinity and NaN are no JSON
            text = json.dumps(_finite(row))
        self._waiting.append(text.encode() + b"\n")
        self.append_waiting()

    def append_waiting(self) -> None:
        """Append the rows that the disk refused. Raises OSError if it still does."""
        if self._waiting:
            append_whole(self.path, b"".join(self._waiting))
            self._waiting = []

    def flush(self) -> None:
        """Let the rows in the file survive a crash of the machine, for a checkpoint that relies on
        them.

        Raises:
            OSError: the disk is full or gone.
        """
        if self.path.exists():
            flush(self.path)

    def cut(self, generation: int, run: str = "") -> None:
        """Remove the rows after a generation, from which the run is resumed, and lines that are cut
        short or damaged.

        Args:
            generation: the last one to keep.
            run: the identity of the run, or "" where it is unknown.

        Raises:
            UserError: there are rows of another run; nothing is removed.
        """
        if not self.path.exists():
            return

        def stays(row: Any) -> bool:
            return row is not None and row.generation <= generation

        count, is_whole = 0, True
        for lines, rows in decoded(self.path, PLAIN):
            for row in rows:
                if row is not None:
                    self._check_run(row, run)
            num_kept = sum(map(stays, rows))
            count += num_kept
            is_whole &= num_kept == len(lines) and lines[-1].endswith(b"\n")

        if count < generation:
            lost = f"{self.path} has lost rows: {count} of {generation} are left"
            warnings.warn(lost, stacklevel=2)
        if is_whole:
            return
        with replacing(self.path) as aside:
            for lines, rows in decoded(self.path, PLAIN):
                kept = [line for line, row in zip(lines, rows, strict=True) if stays(row)]
                append_whole(aside, b"".join(line.rstrip(b"\n") + b"\n" for line in kept))

    def check_first(self, run: str) -> None:
        """Raises UserError if the first row is of another run."""
        if self.path.exists():
            _, rows = next(decoded(self.path, PLAIN), ([], [None]))
            if rows[0] is not None:
                self._check_run(rows[0], run)

    def _check_run(self, row: AnyRow, run: str) -> None:
        if not row_is_of_run(row, run):
            raise UserError(
                f"{self.path} must hold rows of the run that config.json describes, got those of "
                f"one with other settings from generation {row.generation} on; restore it from a "
                f"copy, or move it away"
            )

    def end(self) -> list[Row]:
        """The last rows, as many as fit into `LINE_BYTES`, without damaged ones."""
        if not self.path.exists():
            return []
        try:
            lines = read_end(self.path, LINE_BYTES).splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} must be a readable file, but: {error}") from error
        return [row for line in lines if (row := parse_row(line))]

    def rows(self, run: str = "") -> Iterator[Row]:
        """All rows one by one, without those of another run and damaged ones."""
        if self.path.exists():
            for line in chain.from_iterable(blocks_of(self.path)):
                row = parse_row(line)
                if row is not None and is_of_run(row, run):
                    yield row


def _finite(value: Any) -> Any:
    """A JSON value with None in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
