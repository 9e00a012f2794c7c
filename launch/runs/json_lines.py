"""The files of JSON lines of a run: ``metrics.jsonl``, one row per generation, and
``failures.jsonl``, one member that failed.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from esengine.errors import UserError
from esengine.problems.failures import Failure
from esengine.storage.files import append_whole, flush, parse_json, read_lines, replace_lasting

Row = dict[str, Any]

LINE_BYTES = 1 << 20
_MOST_WAITING = 10_000  # failures of members, while the disk is full
MARK = 8  # characters of the identity that a row holds, which tell any two runs of a user apart
_NUMBERS = ("env_steps", "evaluations")
_OPTIONAL = ("fitness_mean", "fitness_max", "fitness_std", "cost_min", "episode_return_eval")


class MetricsFile:
    """The rows of metrics of a run, ``metrics.jsonl``: each is appended whole or not at all, and
    kept in memory while the disk is full.

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
        self._waiting.append(_as_lines([row]))
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
        """Remove the rows after a generation, from which the run is resumed, and a row that a crash
        cut short.

        Args:
            generation: the last one to keep.
            run: the identity of the run, or "" where it is unknown.

        Raises:
            UserError: there are rows of another run; nothing is removed.
        """
        if not self.path.exists():
            return
        rows = self.rows()
        self._check_run(rows, run)
        kept = [row for row in rows if row["generation"] <= generation]
        if len(kept) < generation:
            lost = f"{self.path} has lost rows: {len(kept)} of {generation} are left"
            warnings.warn(lost, stacklevel=2)
        replace_lasting(self.path, _as_lines(kept))

    def check_first(self, run: str) -> None:
        """Raises UserError if the first row is of another run."""
        if self.path.exists():
            row = parse_row(next(_lines(self.path), b""))
            self._check_run([row] if row else [], run)

    def _check_run(self, rows: list[Row], run: str) -> None:
        foreign = next((row for row in rows if not is_of_run(row, run)), None)
        if foreign is not None:
            raise UserError(
                f"{self.path} must hold rows of the run that config.json describes, got those of "
                f"one with other settings from generation {foreign['generation']} on; restore it "
                f"from a copy, or move it away"
            )

    def rows(self) -> list[Row]:
        """All rows before the first invalid line, which a crash may have left at the end."""
        if not self.path.exists():
            return []
        rows: list[Row] = []
        for line in _lines(self.path):
            row = parse_row(line)
            if row is None:
                break
            rows.append(row)
        return rows


class FailureLog:
    """The record of the failed members of a run, ``failures.jsonl``: those that raised an
    exception, ran out of time or ended their workers.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "failures.jsonl"
        self._waiting: list[Failure] = []

    def add(self, failures: list[Failure]) -> None:
        """Append failures to the file. While the disk refuses, they wait for the next ones."""
        self._waiting = (self._waiting + failures)[-_MOST_WAITING:]
        try:
            append_whole(self.path, _as_lines(self._waiting))
            self._waiting = []
        except OSError as error:
            warnings.warn(
                f"{self.path} lacks failures of members: {error.strerror}; free the disk",
                stacklevel=2,
            )

    def read(self) -> list[Failure]:
        """All failures, the latest of each member, without lines that a crash cut short. Raises
        UserError.
        """
        if not self.path.exists():
            return []
        found: dict[tuple[int, str, int], Failure] = {}
        for line in _lines(self.path):
            if len(line) == LINE_BYTES and not line.endswith(b"\n"):
                raise UserError(
                    f"{self.path} must have lines of at most {LINE_BYTES} bytes; move it away"
                )
            try:
                failure = parse_json(line)
                member = int(failure["member"])
                found[int(failure["generation"]), str(failure["purpose"]), member] = failure
            except (ValueError, KeyError, TypeError):
                continue
        return list(found.values())

    def cut(self, generation: int) -> None:
        """Remove the failures after a generation, from which the run is resumed."""
        if not self.path.exists():
            return
        kept = [failure for failure in self.read() if failure["generation"] <= generation]
        replace_lasting(self.path, _as_lines(kept))


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file. Raises UserError for one that cannot be read."""
    try:
        yield from read_lines(path, LINE_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} must be a readable file, but: {error}") from error


def _as_lines(records: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def parse_row(line: bytes) -> Row | None:
    """The row in a line, or None for a line that is cut short, damaged or not of a run."""
    try:
        row = parse_json(line)
    except ValueError:
        return None
    return row if is_row(row) else None


def is_of_run(row: Row, run: str) -> bool:
    """Whether a row names the run with this identity, or none; "" is an unknown identity."""
    return not run or row["machine"].get("run", run[:MARK]) == run[:MARK]


def is_row(row: Any) -> bool:
    """Whether a JSON value is a row that charts can draw and a run can be resumed from."""
    if not isinstance(row, dict):
        return False
    generation = row.get("generation")
    return (
        isinstance(row.get("machine"), dict)
        and isinstance(generation, int)
        and not isinstance(generation, bool)
        and 0 < generation < 1 << 53
        and all(_is_number(row.get(name)) for name in _NUMBERS)
        and all(row.get(name) is None or _is_number(row[name]) for name in _OPTIONAL)
    )


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a chart can draw."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023
    return whole or isinstance(value, float)
