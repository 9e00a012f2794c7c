"""Members that are points of a plain function."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.contract import Evaluated, failure_of
from esengine.problems.episodes import EpisodeSeeds, Summary, episode_seeds
from esengine.problems.failures import Failure, MembersFailed
from esengine.problems.records import FAILED, OK, new_records
from esengine.problems.search_space import SearchSpace
from esengine.user_code import FORKS, number_of, takes

_VALUE = "the value of the objective"


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
        records = new_records(first, len(rows))
        members = range(first, first + len(rows))
        counts: int | list[int] = 1
        if self.is_noisy:
            counts = [self._num_evaluations(candidates, member) for member in members]
            values = [
                self._summary_of(candidates, member, row, count)
                for member, row, count in zip(members, rows, counts, strict=True)
            ]
        else:
            values = list(self._values(candidates, members, rows, repeat(None)))
        records["fitness"] = values
        records["episodes"] = counts
        if not all(map(math.isfinite, values)):
            records["status"] = np.where(np.isfinite(values), OK, FAILED)
        if self._failures:
            raise MembersFailed(records, {}, self._failures)
        return records, {}

    def points(self, rows: NDArray[np.floating]) -> NDArray[np.floating]:
        """What the function is given for rows, (num_rows, num_variables)."""
        return rows if self.space is None else self.space.points(rows)

    def _num_evaluations(self, candidates: Candidates, member: int) -> int:
        asked = candidates.num_episodes(member) if self._takes_seed else None
        return asked or self.episodes_per_member

    def _summary_of(
        self, candidates: Candidates, member: int, row: NDArray[np.floating], count: int
    ) -> float:
        """The fitness of several evaluations, which end at the first that fails."""
        (seeds,) = episode_seeds(
            candidates, np.array([member]), count, self.episode_seeds, self.antithetic
        ).tolist()
        points = np.tile(row, (count, 1))
        values: list[float] = []
        for value in self._values(candidates, repeat(member), points, seeds):
            if not math.isfinite(value):
                return math.nan
            values.append(value)
        return float(self.summary(np.array([values]))[0])

    def _values(
        self,
        candidates: Candidates,
        members: Iterable[int],
        points: NDArray[np.floating],
        seeds: Iterable[int | None],
    ) -> Iterator[float]:
        """The fitness of one evaluation of each point, which the function may overwrite; not a
        number where it raised.

        One loop for all of them, since functions of a microsecond are handed over by the million.
        """
        function, takes_seed = self.function, self._takes_seed
        for member, point, seed in zip(members, points, seeds, strict=False):  # some are endless
            if FORKS.is_child:  # by the evaluation before
                FORKS.end_child()
            try:
                value = function(point, seed=seed) if takes_seed else function(point)
                if type(value) is not float:
                    value = number_of(_VALUE, value)
            except (Exception, SystemExit) as error:
                known = candidates.seed if seed is None else seed
                self._failures.append(failure_of(error, candidates, member, known))
                yield math.nan
                continue
            if self.progress is not None:
                self.progress()
            yield -value if self.minimize else value

    def value_at(self, point: NDArray[np.floating], seed: int | None) -> float:
        """What the function returns for a point, and for a seed if it takes one.

        Raises:
            UserError: it returns no number. Whatever the function raises, too.
        """
        value = self.function(point, seed=seed) if self._takes_seed else self.function(point)
        return number_of(_VALUE, value)

    def merge(self, arrays: Mapping[str, Any]) -> None:
        pass

    def context(self) -> dict[str, NDArray[Any]]:
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        pass
