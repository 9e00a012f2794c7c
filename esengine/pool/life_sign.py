"""A sign of life while the first evaluation of a pool takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from esengine.compiled import compilations

_FIRST_S = 60.0  # until the first sign; each one after it comes after twice the time


class LifeSign:
    """Reports how far the first evaluation is, from a thread, since one episode may never end.

    Args:
        first_s: seconds until the first report.

    Attributes:
        report: called with a sentence, or None.
    """

    def __init__(self, first_s: float = _FIRST_S) -> None:
        self.report: Callable[[str], None] | None = None
        self._first_s = first_s
        self._is_needed = True

    @contextmanager
    def watching(self, count: Callable[[], int], size: int) -> Iterator[None]:
        """Report during the ``with`` block, the first time that it is entered.

        Args:
            count: returns the number of evaluated members.
            size: members of the population.
        """
        if self.report is None or not self._is_needed:
            yield
            return

        over = Event()
        with compilations() as is_compiling:

            def state() -> str:
                if is_compiling():
                    return "kernels are being compiled (once for this machine)"
                return (
                    f"{count()} of the first {size} members are evaluated; if an episode never "
                    f"ends, --max-episode-steps cuts it"
                )

            with suppress(RuntimeError):  # this machine has no more threads
                arguments = (self.report, over, state)
                Thread(target=self._watch, args=arguments, name="life sign", daemon=True).start()
            try:
                yield
            finally:
                over.set()
                self._is_needed = False

    def _watch(self, report: Callable[[str], None], over: Event, state: Callable[[], str]) -> None:
        elapsed_s = 0.0
        pause_s = self._first_s
        while not over.wait(pause_s):
            elapsed_s += pause_s
            pause_s = elapsed_s
            report(f"{elapsed_s:.0f} s, and {state()}")
