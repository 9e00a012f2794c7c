"""Signals that ask a run to stop at the next safe point: SIGINT, SIGTERM and SIGUSR1."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Abandoned(BaseException):
    """Raised inside an evaluation that a stop request cuts short; not an `Exception`, so that no environment swallows it."""


class StopRequest:
    """Remembers that a signal asked for a stop, and cuts an evaluation short.

    Attributes:
        received: name of the first signal that arrived, or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._cuts = False

    def __bool__(self) -> bool:
        return self.received is not None

    @contextmanager
    def installed(self) -> Iterator[StopRequest]:
        """Handle the signals within the block; the handlers from before return afterwards."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def abandonable(self) -> Iterator[None]:
        """Let a signal end the block at once with `Abandoned`; the block must not be inside an MPI call."""
        self._cuts = True
        try:
            if self:
                raise Abandoned
            yield
        finally:
            self._cuts = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number).name
        if self._cuts:
            self._cuts = False
            raise Abandoned
