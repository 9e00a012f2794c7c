"""Settings of what an evaluation of a member is and returns."""

from __future__ import annotations

from dataclasses import dataclass

from esengine.checks import at_least
from esengine.problems import Columns


@dataclass(frozen=True)
class MemberSettings:
    """The evaluation of a member: how it is called, and what it returns."""

    returns: tuple[str, ...] = ()
    """The columns that an evaluation returns, in order: the value as a name, a constraint, met at 0
    and below, as g:name, and a measure as m:name. In an environment, constraints and measures in
    the info of the last step.
    """
    batch: int | None = None
    """Give the objective up to this many members in one call, (n, dimension), for which it returns
    (n,) values or (n, columns).
    """
    isolate: bool = False
    """Evaluate members in a child process of each worker, so that a crash or a time-out costs a
    fork and no worker, with any MPI; on with --member-timeout.
    """
    ranks_per_member: int | None = None
    """Evaluate each member by a team of this many MPI ranks, which each worker starts on its node:
    the objective gets their communicator as its parameter comm, an environment by --env-arg
    comm=@team.
    """
    keep_members: bool = False
    """Keep every evaluation in members/ of the run: the point, the value and all columns."""

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 1, "batch", "ranks_per_member")

    def columns(self, has_value: bool) -> Columns | None:
        """The columns of ``--returns``, or None for the value alone. Raises UserError.

        Args:
            has_value: whether one of them is the value, as for an objective.
        """
        return Columns.parse(self.returns, has_value) if self.returns else None
