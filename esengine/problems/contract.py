"""What every problem is to the engine: an evaluation that returns one record a member, and what the
records hold.

A problem lives on every rank. `evaluate` is called with the parameters of one chunk and returns one
record a member and the chunk's partial statistics; `merge` adds those on the master, in chunk
order; `context` is what the master publishes with each generation (the observation scaling), and
`set_context` receives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.errors import UserError
from esengine.problems.failures import Failure, describe_exception

OK, FAILED, STOPPED = 0, 1, 2

MEMBER = np.dtype(
    [
        ("member", "<i8"),
        ("fitness", "<f8"),
        ("steps", "<i8"),
        ("episodes", "<i4"),
        ("status", "<i4"),
    ]
)
"""The fixed-size record that comes back for every member. ``fitness`` is the statistic of the
returns of its episodes.
"""


class Problem(Protocol):
    """The contract of `EnvironmentProblem` and `ObjectiveProblem`."""

    @property
    def dimension(self) -> int:
        """Number of parameters."""

    @property
    def dtype(self) -> type[np.floating]:
        """Precision of the parameters: float32 for policies, float64 for functions."""

    @property
    def num_statistics(self) -> int:
        """Length of the float64 vector of partial statistics that a chunk sends."""

    def members_together(self, population_size: int) -> int:
        """Members that are best evaluated in one call, from the settings and the population
        alone.
        """

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Records (num_members,) of `MEMBER` and statistics (num_statistics,) of the members from
        ``first`` on.

        Raises:
            MembersFailed: some members raised. Any other exception counts for all members of the
                chunk.
        """

    def merge(self, statistics: NDArray[np.float64]) -> None:
        """Add one chunk's statistics; called on the master in chunk order."""

    def context(self) -> dict[str, NDArray[Any]]:
        """Arrays that workers need beside the population."""

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Use the arrays of `context`."""


def failure_of(error: BaseException, candidates: Candidates, member: int, seed: int) -> Failure:
    """The record of a member that raised. A `UserError` says all that is to be known, and needs no
    traceback.
    """
    of_user = isinstance(error, UserError)
    return {
        "generation": candidates.generation,
        "member": member,
        "purpose": candidates.episode_purpose,
        "seed": seed,
        "error": str(error) if of_user else describe_exception(error),
        "of_user": of_user,
    }


def failed_records(start: int, stop: int) -> NDArray[Any]:
    """Records of members of which nothing is known but that they failed."""
    records = np.zeros(stop - start, MEMBER)
    records["member"], records["status"], records["fitness"] = (
        np.arange(start, stop),
        FAILED,
        np.nan,
    )
    return records
