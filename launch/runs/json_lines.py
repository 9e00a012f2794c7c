"""Files of JSON lines, and the one of a run that has no columns: ``failures.jsonl``, a member that
failed a line.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from esengine.errors import UserError
from esengine.launch.runs.records import FailureRecord
from esengine.problems.failures import Failure
from esengine.storage.files import append_whole, parse_json, read_lines, replace_lasting
from esengine.storage.records import checked_record

Row = dict[str, Any]
"""A line of ``metrics.jsonl``."""

LINE_BYTES = 1 << 20
_MOST_WAITING = 10_000  # failures of members, while the disk is full


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
        for line in chain.from_iterable(blocks_of(self.path)):
            with suppress(ValueError):  # it is cut short, or damaged
                failure = checked_record(parse_json(line), FailureRecord, str(self.path))
                key = failure["generation"], failure["purpose"], failure["member"]
                found[key] = dict(failure)
        return list(found.values())

    def cut(self, generation: int) -> None:
        """Remove the failures after a generation, from which the run is resumed."""
        if not self.path.exists():
            return
        kept = [failure for failure in self.read() if failure["generation"] <= generation]
        replace_lasting(self.path, _as_lines(kept))


def blocks_of(path: Path) -> Iterator[list[bytes]]:
    """The lines of a file, each with its end, many at once.

    Raises:
        UserError: the file cannot be read, or has a line that is too long for a record.
    """
    try:
        yield from read_lines(path, LINE_BYTES)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} must be a readable file, but: {error}") from error


def _as_lines(records: Iterable[Any]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)
