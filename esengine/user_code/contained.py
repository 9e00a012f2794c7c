"""What user code may change in its process or in arrays, and how it is undone."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np


@contextmanager
def working_folder_kept() -> Iterator[None]:
    """Return to the working folder at the end of the ``with`` block, in which user code runs."""
    folder = os.getcwd()
    try:
        yield
    finally:
        with suppress(OSError):  # it was removed
            os.chdir(folder)


@contextmanager
def limits_kept() -> Iterator[None]:
    """Restore the mask of new files, the standard streams, and the recursion limit if user code
    lowered it, at the end of the ``with`` block. See `warnings_kept` as well.
    """
    mask = os.umask(0o077)
    os.umask(mask)
    limit = sys.getrecursionlimit()
    streams = (sys.stdout, sys.stderr)
    try:
        with warnings_kept():
            yield
    finally:
        os.umask(mask)
        sys.stdout, sys.stderr = streams
        if sys.getrecursionlimit() < limit:
            sys.setrecursionlimit(limit)


@contextmanager
def warnings_kept() -> Iterator[None]:
    """Keep what the engine warns of a warning, if user code in the ``with`` block has turned
    warnings into errors.
    """
    before = list(warnings.filters)
    try:
        yield
    finally:
        added = (each for each in warnings.filters if each not in before)
        if any(action == "error" for action, *_ in added):
            warnings.filterwarnings("default", module="esengine")


class Forks:
    """Knows a child that user code forked and that came back to the engine, where it would do the
    work of its parent a second time.

    Attributes:
        is_child: whether this process was forked since `watch`.
    """

    def __init__(self) -> None:
        self.is_child = False
        self._is_watching = False

    def watch(self) -> None:
        """Count this process as the parent from now on."""
        self.is_child = False
        if not self._is_watching:
            self._is_watching = True
            os.register_at_fork(after_in_child=self._note)

    def _note(self) -> None:
        self.is_child = True

    def end_child(self) -> None:
        """End this process if it is such a child."""
        if self.is_child:
            os._exit(0)


FORKS = Forks()


def own_copy(value: Any) -> Any:
    """The same value with arrays of its own, for user code that writes into what it is given, or
    returns one array again and again.
    """
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) is dict:
        return {name: own_copy(part) for name, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(own_copy(part) for part in value)
    return value
