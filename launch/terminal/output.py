"""Standard output that may be closed, full, or a pipe whose reader has gone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from esengine.errors import shown


def marked(value: object, most: int | None = 200) -> str:
    """A text of a file or of user code as `shown` gives it, for what rich reads as markup."""
    from rich.markup import escape  # slow to import, for every command

    return escape(shown(value, most))


class OutputRefused(Exception):
    """Standard output took no more of what a command was asked to print; the text is the reason,
    or empty where its reader has gone, who wants no more.
    """


class Output:
    """Standard output, whose errors are handled in one place. After one it prints nowhere.

    Args:
        stream: what to print on.
        on_refused: called with the error, once.
    """

    def __init__(self, stream: TextIO, on_refused: Callable[[OSError], None]) -> None:
        self._stream = stream
        self._on_refused = on_refused

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._refuse(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._refuse(error)

    def _refuse(self, error: OSError) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)
        self._on_refused(error)


@contextmanager
def output_to(on_refused: Callable[[OSError], None]) -> Iterator[None]:
    """Print through an `Output` in this context, or nowhere if standard output is closed."""
    before = sys.stdout
    stream = before or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout = cast(TextIO, Output(stream, on_refused))
    try:
        yield
        sys.stdout.flush()
    finally:
        sys.stdout = before


def refuse(error: OSError) -> None:
    """For a command that is there to print. Raises OutputRefused."""
    raise OutputRefused("" if isinstance(error, BrokenPipeError) else str(error)) from error
