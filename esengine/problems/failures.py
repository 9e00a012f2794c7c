"""What a run puts up with: the rules, and the record of a member that failed."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
from numpy.typing import NDArray

Failure = dict[str, Any]
"""What is known of a member that raised or ended its worker: ``generation``, ``member``,
``purpose``, ``seed`` and ``error``; the pool adds ``rank`` and ``host``. It is JSON.
"""


class MembersFailed(Exception):
    """Some members of a chunk raised, and the others did not.

    Attributes:
        records, statistics: as `problems.Problem.evaluate` returns them, without what the failed
            members observed.
        failures: one for each exception.
    """

    def __init__(
        self, records: NDArray[Any], statistics: NDArray[np.float64], failures: list[Failure]
    ) -> None:
        super().__init__(failures[0]["error"])
        self.records, self.statistics, self.failures = records, statistics, failures


def describe_exception(error: BaseException) -> str:
    """The traceback of an exception as text."""
    return "".join(traceback.format_exception(error))


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
