"""The pool: the master's end, which hands out units of work, and the worker's end, which does them.

A unit is a chunk of members to evaluate, a slice of coordinates of a weighted noise sum, or a chunk of members of a
covariance sum. Its bounds never depend on the ranks, and results are merged in the order of units, so neither the number of
ranks nor the order of arrival can change a bit. Units go to whoever is free, two in flight a worker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from esengine import messages
from esengine.candidates import Candidates, GaussianSamples, PolicyEpisodes, chunks, evaluation_chunk_size
from esengine.desk import Desk, Kind
from esengine.errors import Interrupted, UserError, WorkerError
from esengine.interrupts import Abandoned, StopRequest
from esengine.messages import Task
from esengine.node_memory import pack, unpack
from esengine.problems import FAILED, MEMBER
from esengine.world import Backoff, World

if TYPE_CHECKING:
    from mpi4py import MPI

_IN_FLIGHT = 2  # units a worker holds, so that it never waits for the master's answer
_GRACE_S = 3.0  # time that busy workers get to answer a stop
_ALONE_WORK = 1 << 22  # multiply-adds below which the master sums alone: a message costs more


@dataclass(frozen=True)
class Evaluations:
    """A generation's results, in the order of members.

    Attributes:
        records: (population_size,) of `problems.MEMBER`.
        statistics: partial statistics of each chunk, see `Problem`.
        busy_s: seconds that workers spent evaluating, all together.
        wall_s: seconds that the master waited for them.
    """

    records: NDArray[Any]
    statistics: list[NDArray[np.float64]]
    busy_s: float
    wall_s: float

    @property
    def fitness(self) -> NDArray[np.float64]:
        """(population_size,) float64; minus infinity for a failed member, so that it ranks last."""
        return np.where(self.records["status"] == FAILED, -np.inf, self.records["fitness"])


class Pool:
    """The master's end.

    Args:
        world: the ranks.
        desk: the master's own desk; it leads its node and does small sums alone.
        stop: asked between messages whether to stop.
    """

    def __init__(self, world: World, desk: Desk, stop: StopRequest | None = None) -> None:
        self.world, self.desk = world, desk
        self._stop = StopRequest() if stop is None else stop
        self._version = 0
        self._ended = False
        self._workers = list(range(1, world.size))

    def evaluate(self, candidates: Candidates, finished: dict[int, bytes] | None = None, merge: bool = True) -> Evaluations:
        """Evaluate a population.

        Args:
            candidates: the population.
            finished: results by unit that are there already, from a checkpoint; filled with those that arrive, so that it
                holds what is done when this raises.
            merge: add the chunks' statistics to the problem's; otherwise `merge` does it later.

        Raises:
            Interrupted: a signal asked to stop; ``finished`` holds the completed chunks.
            WorkerError: a member raised an exception. The pool can do no more after either.
            UserError: the population has more members than the noise table has window starts.
        """
        most = self.desk.noise.max_population_size
        if candidates.population_size > most and not isinstance(candidates, PolicyEpisodes):
            raise UserError(
                f"the noise table must have a window start for each member, has {most} for {candidates.population_size}; "
                f"use a noise table of {1 << (16 * candidates.population_size - 1).bit_length()} numbers, or 0 to compute noise"
            )
        began = time.monotonic()
        version = self._publish(candidates)
        together = self.desk.problem.members_together(candidates.population_size)
        bounds = chunks(candidates.population_size, evaluation_chunk_size(candidates.population_size, together))
        tasks = [Task(version, Kind.EVALUATE, unit, *bound) for unit, bound in enumerate(bounds)]
        finished = {} if finished is None else finished
        busy_s = self._run(tasks, finished)
        records, statistics = [], []
        for unit, (start, stop) in enumerate(bounds):
            split = (stop - start) * MEMBER.itemsize
            records.append(np.frombuffer(finished[unit][:split], MEMBER))
            statistics.append(np.frombuffer(finished[unit][split:], np.float64))
        evaluations = Evaluations(np.concatenate(records), statistics, busy_s, time.monotonic() - began)
        if merge:
            self.merge(evaluations)
        return evaluations

    def merge(self, evaluations: Evaluations) -> None:
        """Add an evaluation's statistics to the problem's, in the order of chunks."""
        for statistics in evaluations.statistics:
            self.desk.problem.merge(statistics)

    def population(self) -> Population:
        """What can be computed over the last evaluated search population without moving its members."""
        return Population(self)

    @property
    def is_being_killed(self) -> bool:
        """Whether the launcher is ending all ranks, so that only what must be saved can still be done."""
        return self.world.comm is not None and self._stop.is_final

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Send every worker home; if one of them does not answer in time, the ranks will have to be aborted."""
        comm = self.world.comm
        if comm is None:
            return
        if self._stop.is_final:
            self.world.end = "exit"
            return
        from mpi4py import MPI

        requests = [messages.send_stop(comm, worker) for worker in self._workers]
        waiting, status, backoff, began = set(self._workers), MPI.Status(), Backoff(), time.monotonic()
        while waiting and time.monotonic() - began < _GRACE_S:
            if messages.poll(comm, MPI.ANY_SOURCE, status) is None:
                backoff.pause()
            elif status.tag == messages.STOP_TAG:
                waiting.discard(status.source)
        if waiting:
            self.world.end = "abort"
        else:
            MPI.Request.Waitall(requests)

    def _publish(self, candidates: Candidates) -> int:
        header, own = candidates.publish(self.desk.previous(type(candidates).__name__))
        arrays = {f"candidates/{name}": array for name, array in own.items()}
        arrays |= {f"context/{name}": array for name, array in self.desk.problem.context().items()}
        return self._send({"kind": type(candidates).__name__, "candidates": header}, arrays)

    def _publish_weights(self, weights: NDArray[np.floating]) -> int:
        return self._send({"of": self.desk.search_version}, {"weights": weights})

    def _send(self, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> int:
        """One copy to every node; returns when all nodes have it."""
        self._version += 1
        leaders = self.world.leaders[1:]
        if leaders:
            assert self.world.comm is not None
            image = pack(header, arrays)
            for leader in leaders:
                messages.send_publication(self.world.comm, leader, self._version, image)
        self.desk.publish(self._version, header, arrays)
        waiting = set(leaders)
        backoff = Backoff()
        while waiting:
            if self._stop.is_final:
                raise Interrupted(self._stop.received)
            body, status = self._poll()
            if body is None:
                backoff.pause()
            elif status.tag == messages.READY_TAG:
                waiting.discard(status.source)
        return self._version

    def _run(self, tasks: list[Task], finished: dict[int, bytes]) -> float:
        """Do all units that are not finished; returns the seconds that workers were busy."""
        todo = deque(task for task in tasks if task.unit not in finished)
        if self._ended:
            raise RuntimeError("the pool ended with a member's exception or a stop; open another one")
        self._ended = True  # until all units are done
        busy_s = self._run_alone(todo, finished) if self.world.comm is None else self._dispatch(todo, tasks, finished)
        self._ended = False
        return busy_s

    def _dispatch(self, todo: deque[Task], tasks: list[Task], finished: dict[int, bytes]) -> float:
        """Hand units to whoever is free until all of them are finished."""
        assert self.world.comm is not None
        comm, busy_s, backoff = self.world.comm, 0.0, Backoff()
        for _ in range(_IN_FLIGHT):
            for worker in self._workers:
                if todo:
                    messages.send_task(comm, worker, todo.popleft())
        while len(finished) < len(tasks):
            if self._stop:
                raise Interrupted(self._stop.received)
            body, status = self._poll()
            if body is None:
                backoff.pause()
                continue
            backoff.reset()
            if status.tag == messages.RESULT_TAG:
                result = messages.decode_result(body, status.source)
                assert result.version == tasks[0].version
                finished[result.unit] = result.payload
                busy_s += result.busy_s
                if todo:
                    messages.send_task(comm, result.worker, todo.popleft())
        return busy_s

    def _run_alone(self, todo: Iterable[Task], finished: dict[int, bytes]) -> float:
        began = time.monotonic()
        try:
            for task in todo:
                with self._stop.abandonable():
                    finished[task.unit] = self.desk.execute(task)
        except Abandoned:
            raise Interrupted(self._stop.received) from None
        return time.monotonic() - began

    def _poll(self) -> tuple[NDArray[np.uint8] | None, MPI.Status]:
        """The next message, if any. Raises WorkerError for one that reports an exception."""
        from mpi4py import MPI

        assert self.world.comm is not None
        status = MPI.Status()
        body = messages.poll(self.world.comm, MPI.ANY_SOURCE, status)
        if body is not None and status.tag == messages.ERROR_TAG:
            details = messages.decode_error(body)
            raise WorkerError(f"worker of rank {status.source} on {details['host']}: {details['text']}")
        return body, status


class Population:
    """The last evaluated search population, for sums that no single rank should do alone.

    A strategy gets it in ``tell``; it hides where the members' noise is and who adds it up.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool, self._desk = pool, pool.desk
        self._candidates = pool.desk.candidates["search"]

    def row(self, member: int) -> NDArray[np.floating]:
        """Parameters of one member, (dimension,)."""
        return np.array(self._candidates.row(self._desk.noise, member))

    def weighted_noise(self, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """sum_i weights[i] * noise_i over the members in order, (dimension,), in the problem's precision.

        The second member of an antithetic pair has minus the noise of the first, and a member that is carried over has none.

        Args:
            weights: (population_size,); members of weight 0 cost nothing.
        """
        return self._sliced(Kind.NOISE_SUM, weights)

    def weighted_squares(self, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """sum_i weights[i] * noise_i^2, coordinate by coordinate; as `weighted_noise` otherwise."""
        return self._sliced(Kind.SQUARE_SUM, weights)

    def moments(self, weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted first and second moments of a Gaussian population's steps, see `GaussianSamples.moments`."""
        samples = self._candidates
        assert isinstance(samples, GaussianSamples)
        n = samples.dimension
        alone = samples.population_size * n * n < _ALONE_WORK
        parts = self._sum(
            Kind.MOMENTS, chunks(samples.population_size, samples.moment_chunk_size()), weights, alone, np.float64
        )
        total = parts[0].copy()
        for part in parts[1:]:
            total += part
        return total[:n], total[n:].reshape(n, n)

    def _sliced(self, kind: Kind, weights: NDArray[np.floating]) -> NDArray[np.floating]:
        """A sum by slices of coordinates, each over all members in order."""
        dimension = self._candidates.dimension
        weights = np.asarray(weights, self._desk.problem.dtype)
        slices = chunks(dimension, max(4096, -(-dimension // 256)))
        alone = bool(np.count_nonzero(weights) * dimension < _ALONE_WORK)
        return np.concatenate(self._sum(kind, slices, weights, alone, weights.dtype.type))

    def _sum(
        self,
        kind: Kind,
        bounds: list[tuple[int, int]],
        weights: NDArray[np.floating],
        alone: bool,
        dtype: type[np.generic],
    ) -> list[NDArray[Any]]:
        """The units' results in order, computed here or by all ranks: the same bits either way."""
        if alone or self._pool.world.size == 1:
            self._desk.weights = weights
            tasks = [Task(0, kind, unit, *bound) for unit, bound in enumerate(bounds)]
            return [np.frombuffer(self._desk.execute(task), dtype) for task in tasks]
        version = self._pool._publish_weights(weights)
        tasks = [Task(version, kind, unit, *bound) for unit, bound in enumerate(bounds)]
        results: dict[int, bytes] = {}
        self._pool._run(tasks, results)
        return [np.frombuffer(results[unit], dtype) for unit in range(len(tasks))]


def serve(world: World, desk: Desk, stop: StopRequest | None = None) -> None:
    """The worker's end: do tasks until the master says stop."""
    from mpi4py import MPI

    assert world.comm is not None
    comm, status, backoff = world.comm, MPI.Status(), Backoff()
    stop = StopRequest() if stop is None else stop
    idle = False  # a stop request or an exception ended this worker's work; it waits for the master's stop
    while True:
        if stop.is_final:
            world.end = "exit"
            raise Interrupted(stop.received)
        body = messages.poll(comm, 0, status)
        if body is None:
            backoff.pause()
            continue
        backoff.reset()
        match status.tag:
            case messages.STOP_TAG:
                messages.send_stop(comm, 0).Wait()
                return
            case messages.PUBLISH_TAG if not idle:
                idle = not _lay_out(comm, world.host, desk, body)
            case messages.TASK_TAG if not idle:
                idle = not _work(comm, world.host, desk, messages.decode_task(body), stop)


def _lay_out(comm: MPI.Comm, host: str, desk: Desk, body: NDArray[np.uint8]) -> bool:
    """A leader's part in publishing; False if it failed, of which the master is told."""
    try:
        version, image = messages.decode_publication(body)
        desk.publish(version, *unpack(image))
    except Exception as error:
        messages.send_error(comm, {"host": host, "text": _report(error)})
        return False
    messages.send_ready(comm)
    return True


def _work(comm: MPI.Comm, host: str, desk: Desk, task: Task, stop: StopRequest) -> bool:
    """Do one task and answer it; False if it was abandoned or failed."""
    began = time.perf_counter()
    try:
        with stop.abandonable():
            desk.load(task.version)
            payload = desk.execute(task)
    except Abandoned:
        return False
    except (Exception, SystemExit) as error:
        messages.send_error(comm, {"host": host, "text": _report(error)})
        return False
    messages.send_result(comm, task, time.perf_counter() - began, payload)
    return True


def _report(error: BaseException) -> str:
    if isinstance(error, WorkerError | UserError):
        return str(error)
    import traceback

    return "".join(traceback.format_exception(error))
