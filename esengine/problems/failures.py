"""The record of a member that failed, and the exception that carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

Failure = dict[str, Any]
"""What is known of a member that raised or ended its worker: ``generation``, ``member``,
``purpose``, ``seed`` and ``error``; the pool adds ``rank`` and ``host``. It is JSON.
"""


class MembersFailed(Exception):
    """Some members of a chunk raised, and the others did not.

    Attributes:
        records, arrays: as `problems.Problem.evaluate` returns them, without what the failed
            members observed; no arrays if the whole chunk failed.
        failures: one for each exception.
    """

    def __init__(
        self, records: NDArray[Any], arrays: Mapping[str, Any], failures: list[Failure]
    ) -> None:
        super().__init__(failures[0]["error"])
        self.records = records
        self.arrays = arrays
        self.failures = failures


def cause_of(failures: list[Failure]) -> BaseException | None:
    """The exception of the first failure, if it was raised in this process."""
    return getattr(failures[0]["error"], "error", None) if failures else None


def failure_words(failure: Failure) -> str:
    """A failure as a sentence and its traceback."""
    where = (
        f"worker of rank {failure['rank']} on {failure['host']}: " if failure.get("rank") else ""
    )
    return (
        f"{where}generation {failure['generation']}, member {failure['member']}, seed "
        f"{failure['seed']} "
        f"raised:\n{failure['error']}"
    )
