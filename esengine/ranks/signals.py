"""Signals that ask a run to stop at the next safe point: SIGINT, SIGTERM, SIGHUP and SIGUSR1."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from _signal import getsignal  # type: ignore[import-not-found]  # without enumerations: 30 us a unit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_DEAF_S = 1.0
_AGAIN_S = 0.3  # longer than it takes to tidy up


class Abandoned(BaseException):
    """A stop request cut an evaluation short. It is no `Exception`, so that no environment catches
    it.
    """


class StopRequest:
    """Remembers that a signal asked for a stop, and cuts an evaluation short.

    Attributes:
        received: name of the first signal that arrived, or None.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._cuts = False
        self._insists = False
        self._handled: list[int] = []
        self._handler = self._handle  # one object, which can be told by its identity
        self._pause_s: float | None = None
        self._pause_at: float | None = None

    def __bool__(self) -> bool:
        return self.received is not None or self._has_paused()

    def _has_paused(self) -> bool:
        """Whether the time of `pausing_after` is over, which begins with the first look at it."""
        if self._pause_s is None:
            return False
        if self._pause_at is None:
            self._pause_at = time.monotonic() + self._pause_s
        return time.monotonic() >= self._pause_at

    @contextmanager
    def pausing_after(self, seconds: float) -> Iterator[None]:
        """A context in which work stops as for a signal, once it has lasted some seconds."""
        self._pause_s = seconds
        self._pause_at = None
        try:
            yield
        finally:
            self._pause_s = None

    @property
    def is_final(self) -> bool:
        """Whether the ranks are being ended from outside, so that MPI is no longer reliable.

        SIGUSR1 only asks for a stop. SIGTERM also reaches the launcher's processes, and SIGKILL
        follows.
        """
        return self.received in ("SIGTERM", "SIGINT", "SIGHUP")

    def install(self) -> StopRequest:
        """Handle the signals from now on, for the rest of this process. Under nohup SIGHUP stays
        ignored.

        Processes that user code forks do with the signals what Python does by default.
        """
        for number in SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._handler)
                self._handled.append(int(number))
        os.register_at_fork(after_in_child=self._after_fork)
        return self

    @contextmanager
    def handling(self) -> Iterator[None]:
        """Handle the signals within the ``with`` block, in which the caller's handlers rest. Only
        the main thread has handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        self.install()
        try:
            yield
        finally:
            self._handled.clear()
            for number, handler in before.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _after_fork(self) -> None:
        while self._handled:
            number = self._handled.pop()
            by_default = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            if getsignal(number) is self._handler:
                signal.signal(number, by_default)

    def abandonable(self) -> StopRequest:
        """A context in which a signal raises `Abandoned` at once. It must contain no MPI call."""
        return self

    def __enter__(self) -> None:
        self._cuts = True
        if self.received is not None:
            self._cuts = False
            raise Abandoned

    def __exit__(self, *exception: object) -> None:
        self._cuts = False
        if self.received is None:
            for number in self._handled:  # user code may have replaced a handler
                if getsignal(number) is not self._handler:
                    signal.signal(number, self._handler)

    @contextmanager
    def ending_at_once(self) -> Iterator[None]:
        """A context in which a signal raises `Abandoned` until the context is left: a library that
        was called back may swallow it once. A process that does not handle it, since it computes in
        another language, is ended.
        """

        def insist(number: int, frame: FrameType | None) -> None:
            raise Abandoned

        before, unraisable = signal.signal(signal.SIGALRM, insist), sys.unraisablehook
        sys.unraisablehook = partial(_but_abandoned, unraisable)
        self._insists = True
        try:
            if self.received is not None:
                raise Abandoned
            with self._ending_the_deaf():
                yield
        finally:
            self._insists = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            sys.unraisablehook = unraisable

    @contextmanager
    def _ending_the_deaf(self) -> Iterator[None]:
        """A context in which a thread ends this process if a signal is not handled in a second."""
        arrived, arrives = os.pipe()
        os.set_blocking(arrives, False)

        def end() -> None:
            while number := os.read(arrived, 1):
                if number[0] in SIGNALS:
                    time.sleep(_DEAF_S)
                    if self.received is None:
                        name = signal.Signals(number[0]).name
                        os.write(2, f"esengine: stopped by {name}\n".encode())
                        os._exit(1)
            os.close(arrived)

        before = signal.set_wakeup_fd(arrives, warn_on_full_buffer=False)
        Thread(target=end, name="signals", daemon=True).start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            os.close(arrives)

    def on_output_lost(self, error: OSError) -> None:
        """Stop in order if the reader of standard output has gone, as with ``| head``."""
        if isinstance(error, BrokenPipeError):
            self.received = self.received or "SIGPIPE"

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received == "SIGINT":
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # the third Ctrl-C ends the process

        self.received = self.received or signal.Signals(number).name
        if self._insists and not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_S, _AGAIN_S)
            raise Abandoned
        if self._cuts:
            self._cuts = False
            raise Abandoned


def _but_abandoned(
    hook: Callable[[sys.UnraisableHookArgs], object], found: sys.UnraisableHookArgs
) -> None:
    """Report what a library cannot pass on, but for `Abandoned`, which is raised again."""
    if found.exc_type is not Abandoned:
        hook(found)


def outlive(action: Callable[[], None], first: Callable[[], None]) -> None:
    """Run ``action`` in a forked child that the launcher cannot kill, and wait for it.

    mpirun kills its ranks a third of a second after a SIGTERM, too soon for a large checkpoint. The
    child survives and finishes. It must not use MPI. It begins when ``first`` has ended in this
    process, whose threads it does not have, or when this process has been killed.
    """
    waiting, running = os.pipe()
    pid = os.fork()
    if pid:
        try:
            first()
        finally:
            os.close(running)
            os.close(waiting)
            os.waitpid(pid, 0)
        return

    os.setsid()
    status = 1
    try:
        os.close(running)
        os.read(waiting, 1)  # it ends when no process has the other end open
        action()
        status = 0
    finally:
        os._exit(status)
