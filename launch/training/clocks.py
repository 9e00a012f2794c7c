"""Where the master's time goes, and how much of it the job has left."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE_VARIABLE = "ESENGINE_DEADLINE"
"""Seconds since the epoch at which the run has to stop; unset without a limit."""


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


class TimeLimit:
    """Decides whether a generation still fits into the job, from the run's start on.

    Args:
        deadline: seconds since the epoch; default what the environment says, infinity if that says
            nothing.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = (
            float(os.environ.get(DEADLINE_VARIABLE, "inf")) if deadline is None else deadline
        )
        self._whole_s = self._deadline - time.time()

    def leaves(self, seconds: float) -> bool:
        """Whether ``seconds`` are left. Also if not even a whole job would have had them: waiting
        would not help then.
        """
        return seconds > self._whole_s or seconds <= self._deadline - time.time()
