"""Removes mpirun's messages about ranks that ended from its standard error.

On a fault-tolerant launch they are no errors, and hide what the ranks print.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from threading import Thread
from typing import IO

_RULE = b"-" * 74
_FIRST_LINES = (
    b" noticed that process rank ",
    b" has exited due to process rank ",
    b"MPI_ABORT was invoked on rank ",
)
_SINGLE_LINES = (
    b"LAUNCHER JOB OBJECT NOT FOUND",  # after a replacement was started
    # by the guards of several ranks that end at the same time
    b"Abort is in progress...hit ctrl-c again to forcibly terminate",
)
_MOST_LINES = 40


def filtered(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of standard error without NUL bytes and without mpirun's messages.

    Each message stands between two rules.
    """
    rule: bytes | None = None  # held until the next line shows what begins
    left = 0  # lines that a message may still have
    for line in (line.replace(b"\0", b"") for line in lines):
        is_rule = line.strip() == _RULE
        if left:
            left = 0 if is_rule else left - 1
        elif rule is not None and any(part in line for part in _FIRST_LINES):
            rule = None
            left = _MOST_LINES
        else:
            if rule is not None:
                yield rule
            rule = line if is_rule else None
            if rule is None and line.strip() not in _SINGLE_LINES:
                yield line
    if rule is not None:
        yield rule


def start_filter(stream: IO[bytes]) -> Thread:
    """Start a thread that copies a stream to standard error, filtered, until its end."""

    def copy() -> None:
        for line in filtered(iter(stream.readline, b"")):
            if line.strip():
                sys.stderr.write(line.decode(errors="replace"))
                sys.stderr.flush()

    thread = Thread(target=copy, name="stderr", daemon=True)
    thread.start()
    return thread


def start_copy(stream: IO[bytes]) -> Thread:
    """Start a thread that copies a stream to standard output in whole lines, until its end. They
    appear above a live panel, which lines that ranks write to the terminal themselves would tear.
    """

    def copy() -> None:
        for line in iter(stream.readline, b""):
            sys.stdout.write(line.replace(b"\0", b"").decode(errors="replace"))
            sys.stdout.flush()

    thread = Thread(target=copy, name="stdout", daemon=True)
    thread.start()
    return thread
