"""The results of evaluating a population."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.problems.failures import Failure
from esengine.problems.records import FAILED


@dataclass(frozen=True)
class Evaluations:
    """A generation's results, in the order of members.

    Attributes:
        records: (population_size,) of `problems.MEMBER`.
        arrays: by name what came back beside the records, see `Problem.array_specs`.
        busy_s: seconds that workers spent evaluating, all together.
        wall_s: seconds that the master waited for them, the publication included.
        publish_s: seconds of those until all nodes had the population.
        failures: what is known of members that raised or ended their workers, by member.
    """

    records: NDArray[Any]
    arrays: Mapping[str, Any]
    busy_s: float
    wall_s: float
    publish_s: float = 0.0
    failures: list[Failure] = field(default_factory=list)

    @property
    def fitness(self) -> NDArray[np.float64]:
        """(population_size,) float64; minus infinity for a failed member, so that it ranks last."""
        return np.where(self.records["status"] == FAILED, -np.inf, self.records["fitness"])

    @property
    def num_failed(self) -> int:
        """Members that raised, ended their workers or returned no finite fitness."""
        return int(np.count_nonzero(self.records["status"] == FAILED))
