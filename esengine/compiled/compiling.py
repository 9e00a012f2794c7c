"""Notices of kernels that Numba compiles, because its cache on the disk lacks them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event


class _Listener(event.Listener):  # type: ignore[misc]
    def __init__(self, notice: Callable[[bool], None]) -> None:
        self._notice = notice

    def on_start(self, event: event.Event) -> None:
        self._notice(True)

    def on_end(self, event: event.Event) -> None:
        self._notice(False)


@contextmanager
def on_compiling(notice: Callable[[], None]) -> Iterator[None]:
    """Call ``notice`` once, as soon as this process compiles a kernel within the ``with`` block. A
    machine compiles them once, for half a minute or some minutes, and a run waits for it.
    """
    notices = [notice]

    def told(begins: bool) -> None:
        while notices:
            notices.pop()()

    with event.install_listener("numba:compile", _Listener(told)):
        yield


@contextmanager
def compilations() -> Iterator[Callable[[], bool]]:
    """A function that returns whether this process compiles a kernel at present, for the ``with``
    block.
    """
    depth = 0

    def told(begins: bool) -> None:
        nonlocal depth
        depth += 1 if begins else -1

    with event.install_listener("numba:compile", _Listener(told)):
        yield lambda: depth > 0
