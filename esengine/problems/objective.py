"""Members that are points of a plain function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.contract import Evaluated, failure_of
from esengine.problems.episodes import EpisodeSeeds, Summary, episode_seeds
from esengine.problems.failures import Failure, MembersFailed
from esengine.problems.records import FAILED, MEMBER, OK
from esengine.problems.search_space import SearchSpace
from esengine.user_code import FORKS, number_of, takes


@dataclass
class ObjectiveProblem:
    """The value of a plain function of the parameters.

    A function with a parameter ``seed`` is noisy: it gets a seed for every evaluation, by the rules
    of episodes, so that members can be compared on common random numbers, and candidates for the
    elite are evaluated again.

    Args:
        function: maps (dimension,) float64, and a seed if it takes one, to a float.
        dimension: number of parameters that are searched.
        minimize: whether the function is a cost; fitness is then its negative.
        episodes_per_member: evaluations of the function that a member's fitness is made of.
        summary: of the values, as fitness.
        episode_seeds, antithetic: who gets the same seeds within a generation, see
            `EnvironmentProblem`.
        space: what rows stand for, of ``space.dimension`` = ``dimension`` numbers each; None for
            the points themselves.
    """

    function: Callable[..., Any]
    dimension: int
    minimize: bool = False
    episodes_per_member: int = 1
    summary: Summary = field(default_factory=Summary)
    episode_seeds: EpisodeSeeds = "pair"
    antithetic: bool = False
    space: SearchSpace | None = None

    dtype = np.float64

    def __post_init__(self) -> None:
        self._takes_seed = takes(self.function, "seed")
        self.progress: Callable[[], None] | None = None

    @property
    def is_noisy(self) -> bool:
        """Whether two evaluations of a point may differ: the function takes a seed, or a member's
        fitness is made of several values.
        """
        return self.episodes_per_member > 1 or self._takes_seed

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        return ()

    @property
    def are_members_independent(self) -> bool:
        return True

    def members_together(self, population_size: int) -> int:
        return 1

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        self._failures: list[Failure] = []
        rows = np.array(self.points(rows))  # the function may write into its argument
        if self.is_noisy:
            results = [
                self._evaluate_often(candidates, member, row)
                for member, row in enumerate(rows, first)
            ]
        else:
            results = [
                self._record(member, self._value(candidates, member, row))
                for member, row in enumerate(rows, first)
            ]
        records = np.array(results, MEMBER)
        if self._failures:
            raise MembersFailed(records, {}, self._failures)
        return records, {}

    def points(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """What the function is given for rows, (num_rows, num_variables)."""
        return rows if self.space is None else self.space.points(rows)

    def _evaluate_often(
        self, candidates: Candidates, member: int, row: NDArray[np.floating]
    ) -> tuple[Any, ...]:
        asked = candidates.num_episodes(member) if self._takes_seed else None
        count = asked or self.episodes_per_member
        (seeds,) = episode_seeds(
            candidates, np.array([member]), count, self.episode_seeds, self.antithetic
        ).tolist()
        values = np.full((1, count), np.nan)
        for index, seed in enumerate(seeds):
            values[0, index] = self._value(candidates, member, row.copy(), seed)
            if not math.isfinite(values[0, index]):
                return self._record(member, math.nan, count)
        return self._record(member, float(self.summary(values)[0]), count)

    def _value(
        self,
        candidates: Candidates,
        member: int,
        row: NDArray[np.floating],
        seed: int | None = None,
    ) -> float:
        """The fitness of one evaluation of a row, which the function may overwrite; not a number
        where it raised.
        """
        if FORKS.is_child:  # by the evaluation before
            FORKS.end_child()
        try:
            value = self.value_at(row, seed)
        except (Exception, SystemExit) as error:
            self._failures.append(
                failure_of(error, candidates, member, candidates.seed if seed is None else seed)
            )
            return math.nan
        if self.progress is not None:
            self.progress()
        return -value if self.minimize else value

    def value_at(self, point: NDArray[np.floating], seed: int | None) -> float:
        """What the function returns for a point, and for a seed if it takes one.

        Raises:
            UserError: it returns no number. Whatever the function raises, too.
        """
        value = self.function(point, seed=seed) if self._takes_seed else self.function(point)
        return number_of("the value of the objective", value)

    def _record(self, member: int, fitness: float, count: int = 1) -> tuple[Any, ...]:
        return member, fitness, 0, count, OK if math.isfinite(fitness) else FAILED

    def merge(self, arrays: Mapping[str, Any]) -> None:
        pass

    def context(self) -> dict[str, NDArray[Any]]:
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        pass
