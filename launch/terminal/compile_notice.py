"""A notice when kernels are compiled.

A machine compiles them once, for half a minute or some minutes, and a run waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Listener(event.Listener):  # type: ignore[misc]
    """Calls a function once, when Numba begins to compile what its cache on the disk lacks."""

    def __init__(self, notice: Callable[[], None]) -> None:
        self._notice: Callable[[], None] | None = notice

    def on_start(self, event: event.Event) -> None:
        notice = self._notice
        self._notice = None
        if notice is not None:
            notice()

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def on_compiling(notice: Callable[[], None]) -> Iterator[None]:
    """Call ``notice`` as soon as this process compiles a kernel within the ``with`` block."""
    listener = _Listener(notice)
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)
