"""The time limit of the job that a run is in."""

from __future__ import annotations

import os
import time

VARIABLE = "ESENGINE_DEADLINE"
"""Seconds since the epoch at which the run has to stop; unset without a limit."""


class TimeLimit:
    """Decides whether a generation still fits into the job, from the run's start on.

    Args:
        deadline: seconds since the epoch; default what the environment says, infinity if that says
            nothing.
    """

    def __init__(self, deadline: float | None = None) -> None:
        self._deadline = float(os.environ.get(VARIABLE, "inf")) if deadline is None else deadline
        self._whole_s = self._deadline - time.time()

    def leaves(self, seconds: float) -> bool:
        """Whether ``seconds`` are left. Also if not even a whole job would have had them: waiting
        would not help then.
        """
        return seconds > self._whole_s or seconds <= self._deadline - time.time()
