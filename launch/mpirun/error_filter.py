"""mpirun's remarks about ranks that ended: on a fault-tolerant launch they mean nothing, and hide
what the ranks say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from threading import Thread
from typing import IO

_RULE = b"-" * 74
_BEGINNINGS = (
    b" noticed that process rank ",
    b" has exited due to process rank ",
    b"MPI_ABORT was invoked on rank ",
)
_ALONE = (
    b"LAUNCHER JOB OBJECT NOT FOUND",  # said after a replacement was started
    # by the guards of several ranks that end at once
    b"Abort is in progress...hit ctrl-c again to forcibly terminate",
)
_MOST_LINES = 40


def filtered(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of standard error without mpirun's remarks, each of which stands between two rules, and
    without its NUL bytes.
    """
    held: bytes | None = None  # a rule, until the next line tells what it begins
    left = 0  # lines that a remark may still have
    for line in (line.replace(b"\0", b"") for line in lines):
        is_rule = line.strip() == _RULE
        if left:
            left = 0 if is_rule else left - 1
        elif held is not None and any(beginning in line for beginning in _BEGINNINGS):
            held, left = None, _MOST_LINES
        else:
            if held is not None:
                yield held
            held = line if is_rule else None
            if held is None and line.strip() not in _ALONE:
                yield line
    if held is not None:
        yield held


class Relay:
    """Passes on what comes from mpirun's standard error, in a thread, until its end."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._thread = Thread(target=self._pass_on, name="stderr", daemon=True)
        self._thread.start()

    def finish(self, seconds: float = 2.0) -> None:
        """Wait for what is still to come."""
        self._thread.join(seconds)

    def _pass_on(self) -> None:
        for line in filtered(iter(self._stream.readline, b"")):
            if line.strip():
                sys.stderr.write(line.decode(errors="replace"))
                sys.stderr.flush()
