"""The master's end of the pool, which assigns units of work. `worker` is the other end.

A unit is a chunk of members to evaluate, or a slice of coordinates (or a tile of a matrix) of a
weighted sum of noise. Its bounds do not depend on the ranks, and results are merged in the order of
units. So neither the number of ranks, nor the order of arrival, nor the death of a worker can
change a bit. `dispatch` assigns the units to workers.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates, PolicyEpisodes, chunks
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.pool.dispatch import Dispatch, Failures
from esengine.pool.fault_rules import FaultRules
from esengine.pool.life_sign import LifeSign
from esengine.pool.population import Population
from esengine.pool.publishing import Publisher
from esengine.pool.rank_state import Kind, RankState
from esengine.pool.task_runner import TaskRunner
from esengine.pool.workers import Workers
from esengine.pool.worklist import unfinished
from esengine.problems import MEMBER
from esengine.problems.chunk_arrays import unpack_chunks
from esengine.problems.evaluations import Evaluations
from esengine.problems.failures import Failure, MembersFailed, cause_of, failure_words
from esengine.ranks import StopRequest, World, guard, mailbox, messages
from esengine.ranks.backoff import Backoff
from esengine.ranks.messages import Task
from esengine.ranks.signals import Abandoned
from esengine.user_code import limits_kept

_GRACE_S = 3.0  # time that busy workers get to answer a stop


class Pool:
    """The master's end of the pool.

    Args:
        world: the ranks.
        rank_state: the master's, which leads its node and does small sums alone.
        stop: the request to stop, checked between messages.
        rules: for members and workers that fail.

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
    ) -> None:
        self.world = world
        self.rank_state = rank_state
        self._stop = StopRequest() if stop is None else stop
        self._rules = rules or FaultRules()
        self._ended = False
        world.num_pools += 1
        self.mail = world.mail
        self.workers = None if world.comm is None else Workers(world, rank_state, self._rules)
        self.on_failures: Callable[[list[Failure]], None] = lambda failures: None
        self.life_sign = LifeSign()
        self.num_failed = 0
        self._publisher = Publisher(rank_state, self.workers, self._stop)
        guard.mark_serving()
        world.mark_ready()

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
        most = self.rank_state.noise.max_population_size
        if candidates.population_size > most and not isinstance(candidates, PolicyEpisodes):
            raise UserError(
                f"the noise table must have a window start for each member, has {most} for "
                f"{candidates.population_size}; use a noise table of "
                f"{1 << (16 * candidates.population_size - 1).bit_length()} numbers, or 0 to "
                f"compute noise"
            )

        began = time.monotonic()
        version = self._publish(candidates)
        publish_s = time.monotonic() - began

        most_failed: float = math.inf  # an evaluation of the policy never ends a run
        if candidates.episode_purpose == "episode":
            most_failed = self._most_failed(candidates.population_size)
        failures = Failures(most_failed, self._rules, self.on_failures)
        bounds = chunks(candidates.population_size, self.rank_state.unit_size)
        finished = {} if finished is None else finished

        def count() -> int:
            return sum(bounds[unit][1] - bounds[unit][0] for unit in list(finished))

        with self.life_sign.watching(count, candidates.population_size):
            busy_s = self._run(version, Kind.EVALUATE, bounds, finished, failures)

        results = [finished[unit] for unit in range(len(bounds))]
        records, arrays = unpack_chunks(results, bounds, self.rank_state.specs)
        known = sorted(failures.records, key=lambda failure: int(failure["member"]))
        evaluations = Evaluations(
            records, arrays, busy_s, time.monotonic() - began, publish_s, known
        )

        if candidates.episode_purpose == "episode":
            self.num_failed += evaluations.num_failed
            self.check_failed(candidates.generation, [evaluations])
        if merge:
            self.merge(evaluations)

        return evaluations

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

    def evaluate_member(self, candidates: Candidates, member: int) -> Any:
        """The record of one member, a row of `problems.MEMBER`, evaluated here with its chunk.

        Raises:
            MembersFailed: the member raised an exception, or another member did in an environment
                whose members step together.
        """
        self._publish(candidates)
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
        """Stop every worker. If one does not answer in time, the ranks will be aborted."""
        mail = self.mail
        if mail is None:
            return
        if self._stop.is_final:
            self.world.end = "exit"
            return

        assert self.workers is not None
        self.workers.end_births()
        if self._stop:
            self.world.nursery.signal(signal.SIGUSR1)  # the launcher does not know replacements
        requests = [
            messages.send_stop(mail, worker, self.world.rank_died)
            for worker in sorted(self.world.living)
        ]
        waiting = set(self.world.living)
        backoff = Backoff()
        began = time.monotonic()

        while waiting and time.monotonic() - began < _GRACE_S:
            if mail.poll() is None:
                waiting -= set(self.workers.mail.lost)
                backoff.pause()
            elif mail.tag == mailbox.STOP_TAG:
                waiting.discard(mail.source)

        self.world.rank_died |= bool(mail.lost)
        self.world.living -= set(mail.lost)

        if waiting:
            self.world.end = "abort"
            return

        while not all([mail.sent(request) for request in requests]):
            backoff.pause()

    def sum_up(
        self, kind: Kind, bounds: list[tuple[int, int]], weights: NDArray[np.floating]
    ) -> list[bytes]:
        """The results of the units of a weighted sum over the search population's noise, in order,
        computed by all ranks.
        """
        header = {"of": self.rank_state.search_version}
        version = self._publisher.publish(header, {"weights": weights})
        failures = Failures(math.inf, self._rules, self.on_failures)
        results: dict[int, bytes] = {}
        self._run(version, kind, bounds, results, failures)
        return [results[unit] for unit in range(len(bounds))]

    def _publish(self, candidates: Candidates) -> int:
        kind = type(candidates).__name__
        header, own = candidates.publish(self.rank_state.previous(kind))
        context = self.rank_state.problem.context()
        arrays = {f"candidates/{name}": array for name, array in own.items()}
        arrays |= {f"context/{name}": array for name, array in context.items()}
        together = self.rank_state.problem.members_together(candidates.population_size)
        described = {"kind": kind, "candidates": header, "together": together}
        return self._publisher.publish(described, arrays)

    def _run(
        self,
        version: int,
        kind: Kind,
        bounds: list[tuple[int, int]],
        finished: dict[int, bytes],
        failures: Failures,
    ) -> float:
        """Do all units that are not finished, and return the seconds that workers were busy."""
        if self._ended:
            raise RuntimeError(
                "the pool ended with too many failed members or a stop; open another one"
            )

        self._ended = True  # until all units are done
        if self.workers is None:
            with limits_kept():
                busy_s = self._run_alone(version, kind, bounds, finished, failures)
        else:
            dispatch = Dispatch(self.workers, self.rank_state, self._stop, self._rules, failures)
            busy_s = dispatch.run(version, kind, bounds, finished)

        self._ended = False
        return busy_s

    def _run_alone(
        self,
        version: int,
        kind: Kind,
        bounds: list[tuple[int, int]],
        finished: dict[int, bytes],
        failures: Failures,
    ) -> float:
        began = time.monotonic()
        runner = TaskRunner(self.rank_state, self._stop)
        try:
            for units in unfinished(len(bounds), finished):
                for outcome in runner.run(Task.of_units(version, kind, units, bounds)):
                    again = self._rules.member_retries
                    while outcome.failures and again:
                        again -= 1
                        (outcome,) = runner.run(Task.of_units(version, kind, outcome.units, bounds))
                    finished.update(zip(outcome.units, outcome.payloads, strict=True))
                    if outcome.failures:
                        here = {"rank": 0, "host": self.world.host}
                        failures.add([{**failure, **here} for failure in outcome.failures])
                    if outcome.num_left:
                        self.check_stop()
        except Abandoned:
            raise Interrupted(self._stop.received) from None

        return time.monotonic() - began
