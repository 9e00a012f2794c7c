"""Noticing that kernels are compiled: a machine does it once, for half a minute or for some
minutes, and a run waits for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Listener(event.Listener):  # type: ignore[misc]
    """Calls a function when Numba begins to compile what its cache on the disk does not hold, the
    first time only.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell: Callable[[], None] | None = tell

    def on_start(self, event: event.Event) -> None:
        tell, self._tell = self._tell, None
        if tell is not None:
            tell()

    def on_end(self, event: event.Event) -> None:
        pass


@contextmanager
def on_compiling(tell: Callable[[], None]) -> Iterator[None]:
    """Have ``tell`` called as soon as this process compiles a kernel within the ``with`` block."""
    listener = _Listener(tell)
    event.register("numba:compile", listener)
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)
