"""Searches that run at the same time, each of which is evaluated apart from the others.

A search learns as soon as its own members are evaluated, and the workers evaluate its next
generation while a slower search is waited for. A generation of the run is counted once all searches
have theirs, in the order of generations, so what the run holds is what it would hold if they were
evaluated together.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.restarts import RestartedSearch
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State, Strategy
from esengine.candidates import Candidates
from esengine.errors import WorkerError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.training.loop import Callback
from esengine.launch.training.metric_columns import generation_row
from esengine.launch.training.problem_from_settings import is_noisy
from esengine.launch.training.restoring import check_finished
from esengine.launch.training.strategy_loop import StrategyTraining
from esengine.pool import Pool, Population, Submitted
from esengine.problems import ObjectiveProblem
from esengine.problems.columns import columns_of
from esengine.problems.evaluations import Evaluations


@dataclass(frozen=True)
class _Part:
    """A generation of a search, from which it has learned.

    Attributes:
        evaluations: of its members.
        best: the row of the first of its members with the highest fitness.
        rows: of all members, or None where nobody keeps them.
    """

    evaluations: Evaluations
    best: NDArray[np.floating]
    rows: NDArray[np.floating] | None


class JointRows:
    """What is known of the rows of a generation of all searches: the best row of each of them, or
    all rows.
    """

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts

    def row(self, member: int) -> NDArray[np.floating]:
        """The row of a member, which is the best one of its search."""
        for part in self._parts:
            size = len(part.evaluations.records)
            if member < size:
                assert member == int(np.argmax(part.evaluations.fitness))
                return part.best
            member -= size
        raise AssertionError("a member of no search")

    def rows(self) -> NDArray[np.floating]:
        """The rows of all members."""
        return np.concatenate([part.rows for part in self._parts if part.rows is not None])


class SearchesApart:
    """The open generations of searches that run at the same time.

    Args:
        pool: evaluates them.
        method: the searches.
        keeps_rows: whether all rows are needed once a generation is counted.
    """

    varying_state = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

    def __init__(self, pool: Pool, method: RestartedSearch, keeps_rows: bool) -> None:
        self._pool = pool
        self._method = method
        self._keeps_rows = keeps_rows
        self._open: dict[int, Submitted] = {}  # by the number of the search
        self._told: defaultdict[int, deque[_Part]] = defaultdict(deque)
        self._results: dict[tuple[int, int], dict[int, bytes]] = {}  # by search and generation
        self._began = time.monotonic()
        self.keeps_results = False

    def advance(self) -> tuple[Evaluations, JointRows]:
        """Evaluate until all searches have learned from their next generation, and count it;
        returns its results.

        Raises:
            Interrupted: a signal asked to stop; the results that have arrived are kept.
            WorkerError: too many members failed.
        """
        self._began = time.monotonic()
        while not self._method.can_count:
            self._begin()
            done = self._pool.first_over(list(self._open.values()))
            number = next(number for number, each in self._open.items() if each is done)
            self._learn(number, done)

        parts = [self._told[search.number][0] for search in self._method.running]
        evaluations = joined([part.evaluations for part in parts], self._began)
        generation = self._method.generation + 1
        if evaluations.failures:
            self._pool.on_failures(evaluations.failures)
        self._pool.check_failed(generation, [evaluations])
        if not np.isfinite(evaluations.fitness).any():
            raise WorkerError(
                f"every member of generation {generation} failed: no fitness was finite"
            )

        for search in self._method.running:
            self._told[search.number].popleft()
            self._results.pop((search.number, generation), None)
        self._method.count()
        return evaluations, JointRows(parts)

    def _begin(self) -> None:
        """Begin the next generation of each search that waits for none and may go ahead."""
        for search in self._method.running:
            if search.number not in self._open and search.may_continue:
                candidates = search.strategy.ask()
                results = self._results.setdefault((search.number, candidates.generation), {})
                self._drop_damaged(results, candidates.population_size)
                submitted = Submitted(candidates, finished=results, is_part=True)
                self._pool.begin(submitted)
                self._open[search.number] = submitted

    def _drop_damaged(self, results: dict[int, bytes], population_size: int) -> None:
        """Evaluate again what a checkpoint holds of other results."""
        problem: Any = self._pool.rank_state.problem
        try:
            check_finished(results, population_size, problem)
        except ValueError:
            results.clear()

    def _learn(self, number: int, submitted: Submitted) -> None:
        """Let a search learn from a generation whose evaluation is over."""
        evaluations = self._pool.collect(submitted)
        population: Population = self._pool.population()
        search = next(each for each in self._method.running if each.number == number)
        part = _Part(
            evaluations,
            population.row(int(np.argmax(evaluations.fitness))),
            population.rows() if self._keeps_rows else None,
        )
        candidates: Candidates = submitted.candidates
        search.tell(candidates, evaluations.fitness, population)
        self._told[number].append(part)
        del self._open[number]

    def give_up(self) -> None:
        """End the evaluation of all open generations, and forget their results."""
        for submitted in self._open.values():
            self._pool.withdraw(submitted)
        self._open.clear()
        self.forget_results()

    def forget_results(self) -> None:
        """Evaluate again what is not counted yet, since the code has changed."""
        self._results.clear()

    def state(self) -> State:
        """The results that have arrived of generations that are not counted yet, where they are to
        be kept.
        """
        state: State = {}
        for (number, generation), results in self._results.items() if self.keeps_results else ():
            own = {str(unit): np.frombuffer(image, np.uint8) for unit, image in results.items()}
            state |= with_prefix(f"{number}/{generation}/", own)
        return state

    def restore(self, state: State) -> None:
        """Become those that gave ``state``.

        Raises:
            ValueError: an array has the name of no result.
        """
        self._results.clear()
        for prefix in {name.rpartition("/")[0] for name in state}:
            number, generation = map(int, prefix.split("/"))
            own = without_prefix(f"{prefix}/", state)
            results = {int(unit): array.tobytes() for unit, array in own.items()}
            self._results[number, generation] = results


def joined(parts: list[Evaluations], began: float) -> Evaluations:
    """The results of some populations as those of one, whose evaluation began at a time of
    `time.monotonic`.
    """
    records = np.concatenate([part.records for part in parts])
    failures: list[dict[str, Any]] = []
    first = 0
    for part in parts:
        size = len(part.records)
        records["member"][first : first + size] += first
        failures += [
            {**failure, "member": int(failure["member"]) + first} for failure in part.failures
        ]
        first += size
    arrays = {
        name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays
    }
    busy_s = sum(part.busy_s for part in parts)
    publish_s = sum(part.publish_s for part in parts)
    wall_s = max(time.monotonic() - began, publish_s)
    return Evaluations(records, arrays, busy_s, wall_s, publish_s, failures)


class ConcurrentTraining(StrategyTraining):
    """The loop over generations of searches that run at the same time. They are evaluated apart if
    nothing that one of them is told depends on the members of the others.
    """

    def __init__(
        self,
        pool: Pool,
        config: RunConfig,
        directory: RunDirectory | None,
        method: Strategy,
        callbacks: tuple[Callback, ...],
    ) -> None:
        super().__init__(pool, config, directory, method, callbacks)
        self._apart: SearchesApart | None = None
        constraints = columns_of(self.problem)
        if (
            isinstance(method, RestartedSearch)
            and isinstance(self.problem, ObjectiveProblem)
            and not is_noisy(self.train, self.problem)
            and not self.problem.is_noisy
            and (constraints is None or not constraints.constraints.size)
        ):
            self._apart = SearchesApart(pool, method, self.keeps_members)

    def advance(self) -> None:
        if self._apart is None:
            super().advance()
            return
        evaluations, rows = self._apart.advance()
        self._finished = {}
        self.count_members(evaluations)
        self.keep_best(evaluations, None, rows)
        self.keep_members(evaluations, rows)
        self.row = generation_row(
            self.method, self.problem, evaluations, self.counters, self.method.metrics(), self.pool
        )

    def forget_results(self) -> None:
        super().forget_results()
        if self._apart is not None:
            self._apart.forget_results()

    def close_generations(self, keeping_results: bool = False) -> None:
        super().close_generations(keeping_results)
        if self._apart is not None:
            self._apart.keeps_results = keeping_results
            if not keeping_results:
                self._apart.give_up()

    def parts(self) -> dict[str, Any]:
        return super().parts() | ({} if self._apart is None else {"searches": self._apart})
