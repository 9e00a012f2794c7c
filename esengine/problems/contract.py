"""The contract between a problem and the engine.

A problem lives on every rank. `evaluate` is called with the parameters of one chunk and returns one
record a member and the arrays that the problem declares by `array_specs`. `merge` takes the joined
arrays on the master. `context` is what the master publishes with each generation (the observation
scaling), and `set_context` receives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.errors import MemberError, NotFiniteError, UserError, describe_exception
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.failures import Failure

Evaluated = tuple[NDArray[Any], dict[str, Any]]
"""Records (num_members,) of `MEMBER` of a chunk, and its arrays by the names of their specs."""


class Problem(Protocol):
    """The contract of `EnvironmentProblem` and `ObjectiveProblem`."""

    @property
    def dimension(self) -> int:
        """Number of parameters."""

    @property
    def dtype(self) -> type[np.floating]:
        """Precision of the parameters: float32 for policies, float64 for functions."""

    @property
    def episodes_per_member(self) -> int:
        """Episodes, or evaluations of an objective, that an ordinary member's fitness is made
        of.
        """

    @property
    def are_members_independent(self) -> bool:
        """Whether a member's record does not depend on the other members of a call."""

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        """The arrays that a chunk of candidates of a purpose returns beside its records. Quick
        units of work go out together where there are none.
        """

    def members_together(self, population_size: int) -> int:
        """Members that are best evaluated in one call, from the settings and the population
        alone.
        """

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        """Evaluate the members from ``first`` on, with parameters ``rows``.

        Raises:
            MembersFailed: some members raised. Any other exception counts for all members of the
                chunk.
        """

    def merge(self, arrays: Mapping[str, Any]) -> None:
        """Add what a population returned to the problem's state; called on the master."""

    def context(self) -> dict[str, NDArray[Any]]:
        """Arrays that workers need beside the population."""

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Use the arrays of `context`."""


@runtime_checkable
class ProgressingProblem(Problem, Protocol):
    """A problem that shows how far the evaluation of a member is.

    Attributes:
        progress: called after each episode, or evaluation of an objective, of a member that is
            evaluated alone; None if nobody asks.
    """

    progress: Callable[[], None] | None


def failure_of(error: BaseException, candidates: Candidates, member: int, seed: int) -> Failure:
    """The record of a member that raised. A `UserError`, a `NotFiniteError` and a `MemberError`
    say everything, and need no traceback.
    """
    of_user = isinstance(error, UserError)
    says_everything = of_user or isinstance(error, NotFiniteError | MemberError)
    return {
        "generation": candidates.generation,
        "member": member,
        "purpose": candidates.episode_purpose,
        "seed": seed,
        "error": str(error) if says_everything else describe_exception(error),
        "of_user": of_user,
    }
