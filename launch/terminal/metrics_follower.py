"""Reading the rows that another process appends to ``metrics.jsonl``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from esengine.launch.runs.metrics_file import LINE_BYTES, Row, parse_row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.terminal.panel import Display
from esengine.storage.files import opened


class Follower:
    """Passes each new row of a run on once.

    Args:
        path: the run directory.
        show: called with each row; may be replaced between calls.
        after: the last generation that was shown already.
    """

    def __init__(self, path: Path, show: Callable[[Row], None], after: int = 0) -> None:
        self.show = show
        self._path = path / "metrics.jsonl"
        self._generation = after
        self._inode = 0
        self._offset = 0

    def __call__(self) -> None:
        """Pass on the rows since the last call, except a last line that is not complete yet."""
        with suppress(OSError, ValueError), opened(self._path) as file:  # not begun, or replaced
            status = os.fstat(file.fileno())
            was_replaced = status.st_ino != self._inode or status.st_size < self._offset
            if was_replaced:  # by a resumed run
                self._inode = status.st_ino
                self._offset = 0
            file.seek(self._offset)
            while line := file.readline(LINE_BYTES):
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                row = parse_row(line)
                if row is not None and row["generation"] > self._generation:
                    self._generation = row["generation"]
                    self.show(row)


def showing(
    directory: RunDirectory, display: Display, num_starts: int, after: int
) -> Callable[[], None]:
    """A function that updates a display of a run; call it repeatedly.

    Args:
        directory: the run, which other processes carry out.
        display: where it is shown.
        num_starts: starts before the one to show.
        after: the newest generation before that start.
    """
    show = display.recall if display.console.is_terminal else display  # a panel draws itself
    follower = Follower(directory.path, show, after)

    def update() -> None:
        follower()
        if display.is_waiting and directory.is_compiling(num_starts):
            display.compiling()

    return update
