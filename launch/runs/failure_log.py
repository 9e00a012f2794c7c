"""``failures.jsonl`` of a run directory: the members that raised an exception, ran out of time or
ended their workers, one JSON object per line.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path

from esengine.errors import UserError
from esengine.problems.failures import Failure
from esengine.storage.files import append_whole, parse_json, read_lines, replace_lasting

FILE = "failures.jsonl"
_LINE_BYTES = 1 << 20


class FailureLog:
    """The record of the failed members of a run.

    Args:
        folder: the run directory.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def add(self, failures: list[Failure]) -> None:
        """Append failures to the file. A disk that refuses does not end the run."""
        lines = "".join(json.dumps(failure) + "\n" for failure in failures)
        try:
            append_whole(self.path, lines.encode())
        except OSError as error:
            warnings.warn(
                f"{self.path} lacks failures of members: {error}; free the disk", stacklevel=2
            )

    def read(self) -> list[Failure]:
        """All failures, the latest of each member, without lines that a crash cut short."""
        if not self.path.exists():
            return []
        found: dict[tuple[int, str, int], Failure] = {}
        for line in self._lines():
            try:
                failure = parse_json(line)
                member = int(failure["member"])
                found[int(failure["generation"]), str(failure["purpose"]), member] = failure
            except (ValueError, KeyError, TypeError):
                continue
        return list(found.values())

    def _lines(self) -> Iterator[bytes]:
        """The lines of the file. Raises UserError."""
        try:
            yield from read_lines(self.path, _LINE_BYTES)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} must be a readable file, but: {error}") from error

    def cut(self, generation: int) -> None:
        """Remove the failures after a generation, from which the run is resumed."""
        if not self.path.exists():
            return
        kept = [failure for failure in self.read() if failure["generation"] <= generation]
        lines = "".join(json.dumps(failure) + "\n" for failure in kept)
        replace_lasting(self.path, lines.encode())
