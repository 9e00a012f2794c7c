"""Reading the rows that another process appends to ``metrics.jsonl``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from esengine.launch.runs.metrics_file import Row, parse_row
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.terminal.panel import Display


class Follower:
    """Hands on each row of a run once, as it comes.

    Args:
        path: the run directory.
        show: gets the rows; may be replaced between calls.
        after: the last generation that was shown already.
    """

    def __init__(self, path: Path, show: Callable[[Row], None], after: int = 0) -> None:
        self._path, self.show, self._generation = path / "metrics.jsonl", show, after
        self._inode, self._offset = 0, 0

    def __call__(self) -> None:
        """Hand on the rows that have come since the last call; a half-written last line waits for
        its rest.
        """
        try:
            file = open(self._path, "rb")  # noqa: SIM115
        except OSError:
            return  # not begun, or being replaced
        with file:
            status = os.fstat(file.fileno())
            if (
                status.st_ino != self._inode or status.st_size < self._offset
            ):  # replaced by a resumed run
                self._inode, self._offset = status.st_ino, 0
            file.seek(self._offset)
            for line in file:
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
    """What to call again and again, so that a display shows the start of a run after the first
    ``num_starts``.

    Args:
        directory: the run, which other processes carry out.
        display: where it is shown.
        num_starts: starts before the one to show.
        after: the newest generation that was there before.
    """
    show = display.recall if display.console.is_terminal else display  # a panel draws itself
    follower = Follower(directory.path, show, after)

    def look() -> None:
        follower()
        if display.is_waiting and directory.is_compiling(num_starts):
            display.compiling()

    return look
