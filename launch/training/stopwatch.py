"""Where the master's time goes, part by part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Adds up seconds by part; a part costs two looks at the clock."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def add(self, part: str, seconds: float) -> None:
        """Add seconds that were measured elsewhere."""
        self._seconds[part] = self._seconds.get(part, 0.0) + seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the seconds of the ``with`` block, however it ends."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.add(name, time.monotonic() - began)

    def lap(self) -> dict[str, float]:
        """Seconds by part since the last lap, rounded to microseconds."""
        seconds, self._seconds = self._seconds, {}
        return {name: round(value, 6) for name, value in sorted(seconds.items())}
