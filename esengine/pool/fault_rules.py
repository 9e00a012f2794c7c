"""The rules for members and workers that fail."""

from __future__ import annotations

import math
from dataclasses import dataclass

from esengine.errors import UserError

MOST_DEATHS = 3
"""The number of workers that must die during a unit before its members count as failed. Two kills
from outside may hit the same unit by chance.
"""


@dataclass(frozen=True)
class FaultRules:
    """The rules for members and workers that fail.

    Attributes:
        member_retries: how often a member is evaluated again, on another worker, after it raised an
            exception or exceeded its time.
        max_failed_fraction: fraction of a generation that may fail before the run ends.
        member_timeout: seconds that a member may take before its worker is killed; None for no
            limit.
        respawn: whether a worker that died is replaced.
    """

    member_retries: int = 1
    max_failed_fraction: float = 0.5
    member_timeout: float | None = None
    respawn: bool = True

    def check(self) -> None:
        """Raises UserError for rules that no run can follow."""
        if self.member_retries < 0:
            raise UserError(
                f"--member-retries must be at least 0, got {self.member_retries}; 1 is the default"
            )
        if not 0 <= self.max_failed_fraction <= 1:
            raise UserError(
                f"--max-failed-fraction must lie in [0, 1], got {self.max_failed_fraction}; 0 "
                f"ends a run with the first failure"
            )
        if self.member_timeout is not None and not (
            math.isfinite(self.member_timeout) and self.member_timeout > 0
        ):
            raise UserError(
                f"--member-timeout must be positive seconds, got {self.member_timeout}; leave it "
                f"out for no limit"
            )
