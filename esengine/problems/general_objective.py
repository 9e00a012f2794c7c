"""Members that are points of a function which returns several named numbers, or takes several
points in one call.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.errors import NotFiniteError
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.columns import ARRAY, Column, Columns
from esengine.problems.contract import Evaluated, failure_of
from esengine.problems.episodes import episode_seeds
from esengine.problems.failures import Failure, MembersFailed
from esengine.problems.objective import ObjectiveProblem
from esengine.problems.records import FAILED, OK, new_records
from esengine.programs import Program
from esengine.user_code import FORKS

Floats = NDArray[np.float64]


@dataclass
class GeneralObjective(ObjectiveProblem):
    """An objective with named columns, or one that evaluates a batch of members in one call.

    Args:
        columns: the numbers that an evaluation returns.
        batch: most members of one call, for which the function gets (num_members, dimension), a
            seed for each if it takes them, and returns what `Columns.read_many` reads. None for a
            function of one point.
    """

    columns: Columns = field(default_factory=lambda: Columns((Column("value", "value"),)))
    batch: int | None = None

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        return (self.columns.spec(),) if self.columns.others else ()

    def members_together(self, population_size: int) -> int:
        return min(self.batch or 1, population_size)

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        self._failures: list[Failure] = []
        points = np.array(self.points(rows), np.float64)
        records = new_records(first, len(rows))
        others = np.empty((len(rows), len(self.columns.others)))
        size = self.batch or 1
        for start in range(0, len(rows), size):
            here = slice(start, start + size)
            members = np.arange(first + start, first + start + len(points[here]))
            counts, values = self._evaluate_together(candidates, members, points[here])
            records["episodes"][here] = counts
            records["fitness"][here], others[here] = self._summarised(counts, values)
        records["status"] = np.where(np.isfinite(records["fitness"]), OK, FAILED)

        arrays = {ARRAY: others} if self.columns.others else {}
        if self._failures:
            raise MembersFailed(records, arrays, self._failures)
        return records, arrays

    def _summarised(self, counts: list[int], values: Floats) -> tuple[Floats, Floats]:
        """The fitness of members, (num_members,), NaN for those that failed, and their other
        columns, (num_members, num_others).
        """
        if values.shape[1] == 1:
            fitness, others = values[:, 0, 0].copy(), values[:, 0, 1:]
        else:
            each = [own[:count] for own, count in zip(values, counts, strict=True)]
            fitness = np.array([float(self.summary(own[None, :, 0])[0]) for own in each])
            others = np.array([own[:, 1:].mean(axis=0) for own in each])
        fitness[~np.isfinite(others).all(axis=1)] = math.nan
        return fitness, others

    def _evaluate_together(
        self, candidates: Candidates, members: NDArray[np.int64], points: Floats
    ) -> tuple[list[int], Floats]:
        """All evaluations of members that share calls.

        Returns:
            The evaluations of each, and their numbers, (num_members, most evaluations, 1 +
            num_others): the fitness first, NaN where an evaluation failed or there is none.
        """
        counts = [self._num_evaluations(candidates, member) for member in members.tolist()]
        values = np.full((len(members), max(counts), 1 + len(self.columns.others)), np.nan)
        seeds = np.zeros(values.shape[:2], np.uint64)
        if self.is_noisy:
            for i, count in enumerate(counts):
                own = members[i : i + 1]
                seeds[i, :count] = episode_seeds(
                    candidates, own, count, self.episode_seeds, self.antithetic
                )[0]

        going = np.ones(len(members), bool)
        for number in range(max(counts)):
            here = np.flatnonzero(going & (np.array(counts) > number))
            if not here.size:
                break
            values[here, number] = self._numbers(
                candidates, members[here], points[here], seeds[here, number]
            )
            going[here] = np.isfinite(values[here, number]).all(axis=1)
        return counts, values

    def _num_evaluations(self, candidates: Candidates, member: int) -> int:
        asked = candidates.num_episodes(member) if self._takes_seed else None
        return asked or self.episodes_per_member

    def _numbers(
        self,
        candidates: Candidates,
        members: NDArray[np.int64],
        points: Floats,
        seeds: NDArray[np.uint64],
    ) -> Floats:
        """The fitness and the other columns of one evaluation of some members, (num_members, 1 +
        num_others), NaN for those that failed.
        """
        FORKS.end_child()
        if isinstance(self.function, Program):
            self.function.at(candidates.generation, int(members[0]))
        numbers = np.full((len(members), 1 + len(self.columns.others)), np.nan)
        try:
            numbers = self._call(points.copy(), seeds)
        except (Exception, SystemExit) as error:  # it does not say which member it was
            for member, seed in zip(members.tolist(), seeds.tolist(), strict=True):
                self._fail(error, candidates, member, seed)
            return numbers

        for i in np.flatnonzero(~np.isfinite(numbers[:, 1:]).all(axis=1)).tolist():
            try:
                self.columns.check_finite(numbers[i, 1:])
            except NotFiniteError as error:
                self._fail(error, candidates, int(members[i]), int(seeds[i]))
        if self.progress is not None and self.batch is None:
            self.progress()
        if self.minimize:
            numbers[:, 0] *= -1
        return numbers

    def _fail(self, error: BaseException, candidates: Candidates, member: int, seed: int) -> None:
        known = seed if self.is_noisy else candidates.seed
        self._failures.append(failure_of(error, candidates, member, known))

    def _call(self, points: Floats, seeds: NDArray[np.uint64]) -> Floats:
        """One call of the function, (num_members, 1 + num_others), the value first."""
        if self.batch is None:
            own: dict[str, Any] = {"seed": int(seeds[0])} if self._takes_seed else {}
            return self.columns.read(self.function(points[0], **own))[None]
        own = {"seed": seeds.astype(np.int64)} if self._takes_seed else {}
        return self.columns.read_many(self.function(points, **own), len(points))

    def value_at(self, point: NDArray[np.floating], seed: int | None) -> float:
        points = np.tile(np.asarray(point, np.float64), (self.batch or 1, 1))
        return float(self._call(points, np.full(len(points), seed or 0, np.uint64))[0, 0])
