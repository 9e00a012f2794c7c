"""The master's end of the pool, which assigns units of work. `worker` is the other end.

A unit is a chunk of members to evaluate, or a slice of coordinates (or a tile of a matrix) of a
weighted sum of noise. Its bounds do not depend on the ranks, and results are merged in the order of
units. So neither the number of ranks, nor the order of arrival, nor the death of a worker can
change a bit. `dispatch` assigns the units to workers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates, PolicyEpisodes, chunks
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.pool.fault_rules import FaultRules
from esengine.pool.life_sign import LifeSign
from esengine.pool.master import Master
from esengine.pool.population import Population
from esengine.pool.rank_state import Kind, RankState
from esengine.pool.rank_states import RankStates
from esengine.pool.work import Failures, Work
from esengine.problems import MEMBER
from esengine.problems.chunk_arrays import unpack_chunks
from esengine.problems.evaluations import Evaluations
from esengine.problems.failures import Failure, MembersFailed, cause_of, failure_words
from esengine.ranks import StopRequest, World


@dataclass
class Submitted:
    """A population whose evaluation was begun.

    Attributes:
        candidates: the population.
        context: of the problem when it was drawn; None if it is evaluated as the problem is now.
        finished: results by unit.
        work: its units.
        began: when, by `time.monotonic`.
        publish_s: seconds until all nodes had it.
        is_part: whether it is a part of a generation, so that who collects it judges the failures
            of all parts.
    """

    candidates: Candidates
    context: Mapping[str, NDArray[Any]] | None = None
    finished: dict[int, bytes] = field(default_factory=dict)
    work: Work | None = None
    began: float = 0.0
    publish_s: float = 0.0
    is_part: bool = False


class Pool:
    """The master's end of the pool.

    Args:
        world: the ranks.
        rank_state: the master's, which leads its node and does small sums alone.
        stop: the request to stop, checked between messages.
        rules: for members and workers that fail.
        master: shared with the pools of other runs; None opens one.

    Attributes:
        on_failures: called with members as soon as they have finally failed.
        life_sign: reports while the first evaluation takes long.
        num_failed: members that have failed in training, recorded episodes included.
    """

    def __init__(
        self,
        world: World,
        rank_state: RankState,
        stop: StopRequest | None = None,
        rules: FaultRules | None = None,
        master: Master | None = None,
    ) -> None:
        self.world = world
        self.rank_state = rank_state
        self._stop = StopRequest() if stop is None else stop
        self._rules = rules or FaultRules()
        self._ended = False
        self._is_shared = master is not None
        self._master = master or Master(world, RankStates([rank_state]), self._stop, self._rules)
        self.workers = self._master.workers
        self.mail = world.mail
        self.on_failures: Callable[[list[Failure]], None] = lambda failures: None
        self.life_sign = LifeSign()
        self.num_failed = 0
        self._dispatch = self._master.dispatch
        self._open: list[Work] = []  # search populations that are being evaluated
        self._collected = 0.0  # when the last one was, by `time.monotonic`

    def evaluate(
        self, candidates: Candidates, finished: dict[int, bytes] | None = None, merge: bool = True
    ) -> Evaluations:
        """Evaluate a population.

        Args:
            candidates: the population.
            finished: earlier results by unit, from a checkpoint. New results are added, so that it
                holds all finished units when this raises.
            merge: whether to add the results to the problem's state; otherwise `merge` does.

        Raises:
            Interrupted: a signal asked to stop, or no worker is left. The pool has ended.
            WorkerError: too many members failed. The pool has ended.
            UserError: the population has more members than the noise table has window starts.
        """
        evaluations = self.collect(self.submit(candidates, finished))
        if merge:
            self.merge(evaluations)
        return evaluations

    def submit(self, candidates: Candidates, finished: dict[int, bytes] | None = None) -> Submitted:
        """Begin the evaluation of a population, whose results `collect` returns. Several may be
        open at once; workers take the units of the oldest first.

        Args:
            candidates: the population.
            finished: see `evaluate`.

        Raises:
            Interrupted: a signal asked to stop. The pool has ended.
            UserError: the population has more members than the noise table has window starts.
        """
        submitted = Submitted(candidates, finished={} if finished is None else finished)
        self.begin(submitted)
        return submitted

    def begin(self, submitted: Submitted) -> None:
        """`submit` for a population that may have been drawn before."""
        candidates = submitted.candidates
        most = self.rank_state.noise.max_population_size
        if candidates.population_size > most and not isinstance(candidates, PolicyEpisodes):
            raise UserError(
                f"the noise table must have a window start for each member, has {most} for "
                f"{candidates.population_size}; use a noise table of "
                f"{1 << (16 * candidates.population_size - 1).bit_length()} numbers, or 0 to "
                f"compute noise"
            )

        submitted.began = time.monotonic()
        with self._unless_ended():
            if submitted.context is None:
                version = self._publish(candidates, self.rank_state.problem.context())
            else:
                with self.rank_state.context_kept():
                    version = self._publish(candidates, submitted.context)
        submitted.publish_s = time.monotonic() - submitted.began

        most_failed: float = math.inf  # an evaluation of the policy never ends a run
        if candidates.episode_purpose == "episode" and not submitted.is_part:
            most_failed = self._most_failed(candidates.population_size)
        report = _report_nothing if submitted.is_part else self.on_failures
        failures = Failures(most_failed, self._rules, report)
        bounds = chunks(candidates.population_size, self.rank_state.unit_size)
        work = Work(self.rank_state, version, Kind.EVALUATE, bounds, submitted.finished, failures)
        submitted.work = work
        is_policy = isinstance(candidates, PolicyEpisodes)
        if not is_policy:
            self._open.append(work)
        self._dispatch.submit(work, first=is_policy)

    def first_over(self, submitted: Sequence[Submitted]) -> Submitted:
        """The first of some populations whose evaluation is over, once that of one of them is.
        Raises Interrupted as `evaluate` does.
        """
        works = [each.work for each in submitted if each.work is not None]
        with self._unless_ended():
            self._dispatch.wait(works)
        return next(each for each in submitted if each.work is not None and each.work.is_over)

    def collect(self, submitted: Submitted) -> Evaluations:
        """The results of a population, which `population` is from now on. Raises as `evaluate`
        does.
        """
        work = submitted.work
        assert work is not None
        candidates = submitted.candidates
        bounds = work.bounds
        finished = work.finished

        def count() -> int:
            return sum(bounds[unit][1] - bounds[unit][0] for unit in list(finished))

        with (
            self._unless_ended(),
            self.life_sign.watching(count, candidates.population_size),
        ):
            self._dispatch.finish(work)
        if work in self._open:
            self._open.remove(work)
            self.rank_state.choose(work.version)

        results = [finished[unit] for unit in range(len(bounds))]
        specs = self.rank_state.problem.array_specs(candidates.episode_purpose)
        records, arrays = unpack_chunks(results, bounds, specs)
        known = sorted(work.failures.records, key=lambda failure: int(failure["member"]))
        now = time.monotonic()
        wall_s = now - max(submitted.began, self._collected)
        self._collected = now
        evaluations = Evaluations(records, arrays, work.busy_s, wall_s, submitted.publish_s, known)

        if candidates.episode_purpose == "episode" and not submitted.is_part:
            self.num_failed += evaluations.num_failed
            self.check_failed(candidates.generation, [evaluations])
        return evaluations

    def withdraw(self, submitted: Submitted) -> None:
        """Give up the evaluation of a population; ``submitted`` keeps what is finished."""
        work, submitted.work = submitted.work, None
        if work is not None:
            self._dispatch.withdraw(work)
            if work in self._open:
                self._open.remove(work)

    def check_failed(self, generation: int, evaluations: list[Evaluations], least: int = 0) -> None:
        """Raises WorkerError if too many members of a generation failed; the pool has ended then.

        Args:
            generation: its number.
            evaluations: all of its members.
            least: how many must not have failed, however many may.
        """
        count = sum(part.num_failed for part in evaluations)
        size = sum(len(part.records) for part in evaluations)
        if count <= self._most_failed(size) and size - count >= least:
            return
        self._ended = True
        failures = [failure for part in evaluations for failure in part.failures]
        reason = failure_words(failures[0]) if failures else "their fitness was not finite"
        raise WorkerError(
            f"{count} of {size} members of generation {generation} failed, more than "
            f"--max-failed-fraction {self._rules.max_failed_fraction:g} allows: {reason}"
        ) from cause_of(failures)

    def _most_failed(self, population_size: int) -> int:
        """The members of a population that may fail before the run ends."""
        return int(self._rules.max_failed_fraction * population_size)

    def merge(self, evaluations: Evaluations) -> None:
        """Add the arrays of an evaluation to the problem's state."""
        self.rank_state.problem.merge(evaluations.arrays)

    def evaluate_member(
        self,
        candidates: Candidates,
        member: int,
        context: Mapping[str, NDArray[Any]] | None = None,
    ) -> Any:
        """The record of one member, a row of `problems.MEMBER`, evaluated here with its chunk.

        Args:
            candidates: the population.
            member: its number.
            context: of the problem when the population was drawn; None for the present one.

        Raises:
            MembersFailed: the member raised an exception, or another member did in an environment
                whose members step together.
        """
        self._publish(candidates, context or self.rank_state.problem.context())
        size = self.rank_state.unit_size
        start = member // size * size
        stop = min(start + size, candidates.population_size)

        try:
            image = self.rank_state.execute(Kind.EVALUATE, start, stop)
        except MembersFailed as failed:
            if any(failure["member"] == member for failure in failed.failures):
                raise
            return failed.records[member - start]

        return np.frombuffer(image, MEMBER, stop - start)[member - start]

    def population(self) -> Population:
        """The last evaluated search population, for sums over its members."""
        return Population(self.rank_state, self.sum_up if self.world.size > 1 else None)

    def check_stop(self) -> None:
        """Raises Interrupted if a signal asked to stop."""
        if self._stop:
            raise Interrupted(self._stop.received)

    @property
    def num_lost(self) -> int:
        """The number of workers that have died."""
        return 0 if self.workers is None else self.workers.num_lost

    @property
    def is_being_killed(self) -> bool:
        """Whether the launcher is ending all ranks, so that there is only time to save."""
        return self.world.comm is not None and self._stop.is_final

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop every worker, unless other runs share them."""
        if not self._is_shared:
            self._master.close()

    def sum_up(
        self, kind: Kind, bounds: list[tuple[int, int]], weights: NDArray[np.floating]
    ) -> list[bytes]:
        """The results of the units of a weighted sum over the search population's noise, in order,
        computed by all ranks.
        """
        header = {"of": self.rank_state.search_version}
        with self._unless_ended():
            version = self._master.publisher.publish(self.rank_state, header, {"weights": weights})
            failures = Failures(math.inf, self._rules, self.on_failures)
            work = Work(self.rank_state, version, kind, bounds, {}, failures)
            self._dispatch.submit(work, first=True)
            self._dispatch.finish(work)
        return [work.finished[unit] for unit in range(len(bounds))]

    def _publish(self, candidates: Candidates, context: Mapping[str, NDArray[Any]]) -> int:
        kind = type(candidates).__name__
        follows = not self._open  # else the nodes need not have the same one before
        previous = self.rank_state.previous(kind) if follows else None
        header, own = candidates.publish(previous)
        arrays = {f"candidates/{name}": array for name, array in own.items()}
        arrays |= {f"context/{name}": array for name, array in context.items()}
        together = self.rank_state.problem.members_together(candidates.population_size)
        described = {
            "kind": kind,
            "candidates": header,
            "together": together,
            "follows": follows,
        }
        if self._open and not isinstance(candidates, PolicyEpisodes):
            described["oldest"] = min(work.version for work in self._open)
        return self._master.publisher.publish(self.rank_state, described, arrays)

    @contextmanager
    def _unless_ended(self) -> Iterator[None]:
        """A context after which the pool has ended if it raises."""
        if self._ended:
            raise RuntimeError(
                "the pool ended with too many failed members or a stop; open another one"
            )
        self._ended = True
        yield
        self._ended = False


def _report_nothing(failures: list[Failure]) -> None:
    """Report no failures of a part of a generation."""
