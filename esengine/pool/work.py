"""One list of units, from its publication until all of them are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from esengine.errors import WorkerError
from esengine.pool.fault_rules import FaultRules
from esengine.pool.rank_state import Kind, RankState
from esengine.pool.worklist import WorkList
from esengine.problems.failures import Failure, cause_of, failure_words


class Failures:
    """The members of one work list that raised an exception or ended their workers.

    Args:
        most: members that may fail; one more ends the run.
        rules: the pool's.
        report: called with members as soon as they have finally failed.

    Attributes:
        records: of the failed members, in the order in which they failed.
    """

    def __init__(
        self, most: float, rules: FaultRules, report: Callable[[list[Failure]], None]
    ) -> None:
        self._most = most
        self._rules = rules
        self._report = report
        self.records: list[Failure] = []

    def add(self, failures: list[Failure]) -> None:
        """Count members as failed.

        Raises:
            WorkerError: too many members failed.
        """
        self.records += failures
        self._report(failures)
        if len(self.records) > self._most:
            raise WorkerError(
                f"{len(self.records)} members of generation {failures[0]['generation']} failed, "
                f"more than --max-failed-fraction {self._rules.max_failed_fraction:g} allows; "
                f"the first of them: {failure_words(self.records[0])}"
            ) from cause_of(self.records)


class Work:
    """A list of units.

    Args:
        rank_state: the master's, of the problem that the units belong to.
        version: of the publication that they refer to.
        kind: what to do, see `rank_state.Kind`.
        bounds: of each unit.
        finished: results by unit; new ones are added.
        failures: collects the failed members.

    Attributes:
        todo: the units that wait for a worker, once the work is submitted.
        tries: failures of each unit.
        deaths: workers that died during each unit.
        avoid: the worker on which a unit failed.
        busy_s: seconds that workers spent on the units.
        error: why the units are given up, or None.
    """

    todo: WorkList

    def __init__(
        self,
        rank_state: RankState,
        version: int,
        kind: Kind,
        bounds: list[tuple[int, int]],
        finished: dict[int, bytes],
        failures: Failures,
    ) -> None:
        self.rank_state = rank_state
        self.version = version
        self.kind = kind
        self.bounds = bounds
        self.finished = finished
        self.failures = failures
        self.tries: Counter[int] = Counter()
        self.deaths: Counter[int] = Counter()
        self.avoid: dict[int, int] = {}
        self.busy_s = 0.0
        self.error: WorkerError | None = None

    @property
    def is_over(self) -> bool:
        """Whether all units are done, or given up."""
        return self.error is not None or len(self.finished) >= len(self.bounds)

    def fail(self, failures: list[Failure]) -> None:
        """Count members as failed. Too many of them end the work with an `error`."""
        try:
            self.failures.add(failures)
        except WorkerError as error:
            self.error = error
