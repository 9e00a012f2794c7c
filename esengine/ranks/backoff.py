"""The pauses of a rank that waits by polling."""

from __future__ import annotations

import time


class Backoff:
    """The pauses between polls: none for the first 50 tries, then sleeps that grow from 20
    microseconds to 1 millisecond.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start over, since after one message others often follow soon."""
        self._tries = 0
        self._sleep_s = 2e-5

    def pause(self) -> None:
        """Wait a little longer than the last time."""
        self._tries += 1
        if self._tries > 50:
            time.sleep(self._sleep_s)
            self._sleep_s = min(self._sleep_s * 1.4, 1e-3)
