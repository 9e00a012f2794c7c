"""What comes of evaluating a population."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.problems import FAILED, MEMBER, OK, STOPPED
from esengine.problems.failures import Failure


@dataclass(frozen=True)
class Evaluations:
    """A generation's results, in the order of members.

    Attributes:
        records: (population_size,) of `problems.MEMBER`.
        statistics: partial statistics of each chunk, see `Problem`; empty if the problem has none.
        busy_s: seconds that workers spent evaluating, all together.
        wall_s: seconds that the master waited for them, the publication included.
        publish_s: seconds of those until all nodes had the population.
        bounds: members of each chunk, (start, stop).
        failures: what is known of members that raised or ended their workers, by member.
    """

    records: NDArray[Any]
    statistics: list[NDArray[np.float64]]
    busy_s: float
    wall_s: float
    publish_s: float = 0.0
    bounds: tuple[tuple[int, int], ...] = ()
    failures: list[Failure] = field(default_factory=list)

    @property
    def fitness(self) -> NDArray[np.float64]:
        """(population_size,) float64; minus infinity for a failed member, so that it ranks last.

        A member of whom an episode was stopped has that of the worst of whom none was.
        """
        status, fitness = self.records["status"], self.records["fitness"]
        whole = fitness[status == OK]
        if whole.size:
            fitness = np.where(status == STOPPED, whole.min(), fitness)
        return np.where(status == FAILED, -np.inf, fitness)

    @property
    def num_failed(self) -> int:
        """Members that raised, ended their workers or returned no finite fitness."""
        return int(np.count_nonzero(self.records["status"] == FAILED))


def joined(
    results: list[bytes], bounds: list[tuple[int, int]]
) -> tuple[NDArray[Any], list[NDArray[np.float64]]]:
    """Records of all members, and the statistics of each chunk if there are any, from the chunks'
    results in order.
    """
    population_size = bounds[-1][1]
    if sum(map(len, results)) == population_size * MEMBER.itemsize:
        return np.frombuffer(b"".join(results), MEMBER), []
    splits = [(stop - start) * MEMBER.itemsize for start, stop in bounds]
    records = np.frombuffer(
        b"".join([result[:split] for result, split in zip(results, splits, strict=True)]), MEMBER
    )
    statistics = [
        np.frombuffer(result[split:], np.float64)
        for result, split in zip(results, splits, strict=True)
    ]
    return records, statistics
