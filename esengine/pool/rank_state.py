"""The state of a rank: what it works on, and the units of work that it can do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import (
    KINDS,
    Candidates,
    GaussianSamples,
    JointPopulation,
    PolicyEpisodes,
    RestrictedSamples,
    chunks,
    evaluation_chunk_size,
)
from esengine.errors import WorkerError
from esengine.noise import Noise
from esengine.noise.product_sums import product_sum, product_tile
from esengine.problems import ArraySpec, Problem, failed_records, failure_of
from esengine.problems.chunk_arrays import pack_chunk
from esengine.problems.contract import Evaluated, ProgressingProblem
from esengine.problems.failures import Failure, MembersFailed
from esengine.ranks.messages import Task
from esengine.ranks.node_memory import NodeMemory, map_bundle
from esengine.user_code import FORKS


class Kind(IntEnum):
    """The kind of work that a task asks for."""

    EVALUATE = 0
    NOISE_SUM = 1
    PRODUCT_SUM = 2
    SQUARE_SUM = 3
    LENGTHS = 4
    INNER_PRODUCTS = 5


class _Kept(NamedTuple):
    """A publication that this rank has.

    Attributes:
        channel: see `_channel`.
        evaluated: the population, or None for weights.
        together: members of one call, which shows no progress in between.
        context: of the problem.
        weights: of a sum.
        of: the version of the population that the sum is over.
    """

    channel: str
    evaluated: Candidates | None = None
    together: int = 1
    context: Mapping[str, NDArray[Any]] = {}
    weights: NDArray[np.floating] = np.empty(0)
    of: int = 0


class RankState:
    """The noise, the problem and the published state of a rank, be it the master or a worker.

    Args:
        noise: the node's noise.
        problem: the rank's copy of the problem.
        memory: the node's shared files, or None when the process is alone.
        number: of the run, among those that share the ranks.

    Attributes:
        candidates: the population of the search that sums are over, and an evaluated policy.
        weights: of the last sum.
        unit_size: members of a unit of the population in use; the last unit may have fewer.
        specs: of the arrays that such a unit returns in addition to its records.
        evaluate_rows: evaluates members with their parameters, as `Problem.evaluate` does.
        may_group: whether that may be members of several units.
        context: of the problem, as it belongs to the population in use.
        num_contexts: how often another one came into use.
        can_group: whether one call may do several such units. Then they return records and arrays
            of one row a member, and nothing of a member depends on the others in the call.
    """

    def __init__(
        self, noise: Noise, problem: Problem, memory: NodeMemory | None, number: int = 0
    ) -> None:
        self.number = number
        self.noise = noise
        self.problem = problem
        self.memory = memory
        self.candidates: dict[str, Candidates] = {}
        self.weights: NDArray[np.floating] = np.empty(0)
        self.unit_size = 1
        self.specs: tuple[ArraySpec, ...] = ()
        self.evaluate_rows = problem.evaluate
        self.may_group = True
        self.context: Mapping[str, NDArray[Any]] = {}
        self.num_contexts = 0
        self.can_group = False
        self._shows_progress = isinstance(problem, ProgressingProblem)
        self._kept: dict[int, _Kept] = {}  # publications, by version
        self._in_use = 0  # version of the population that is evaluated
        self.search_version = 0
        FORKS.watch()

    def __enter__(self) -> RankState:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.memory is not None:
            self.memory.close()

    def publish(
        self, version: int, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Rebuild a publication and, on a shared node, write it for the other ranks.

        Only leaders call it. A version that was published before is ignored.
        """
        if self.memory is not None and self.memory.holds(version):
            return

        if "kind" in header:
            kind = header["kind"]
            own, context = _split(arrays)
            previous = self.previous(kind) if header["follows"] else None
            built = KINDS[kind].receive(header["candidates"], own, previous, self.noise)
            shared_header, own = built.shared()
            header = {**header, "candidates": shared_header}
            arrays = {**{f"candidates/{name}": array for name, array in own.items()}, **context}

        if self.memory is None:
            self._install(version, header, arrays)
            return

        before = list(self._kept)
        self.memory.write(version, header, arrays)
        self.load(version)
        for old in before:
            if old not in self._kept and self.memory.holds(old):
                self.memory.remove(old)

    def images(self) -> list[tuple[int, bytes]]:
        """The version and the packed bundle of each current publication, in order of versions."""
        assert self.memory is not None
        current = (
            version
            for version, kept in sorted(self._kept.items())
            if kept.evaluated is not None or kept.of in self._kept
        )
        return [(version, self.memory.image(version)) for version in current]

    def load(self, version: int) -> None:
        """Map a publication that the node's leader wrote, unless this rank has it, and use it."""
        if version in self._kept:
            self._use(version)
            return

        assert self.memory is not None
        header, arrays = map_bundle(self.memory.find(version))
        if "of" in header:  # weights of a population, of which this rank may have done no member
            self.load(header["of"])
        self._install(version, header, arrays)

    @contextmanager
    def at(self, version: int) -> Iterator[None]:
        """A context in which this publication is in use."""
        if self._in_use == version:
            yield
            return
        with self.context_kept():
            self._use(version)
            yield

    @contextmanager
    def context_kept(self) -> Iterator[None]:
        """A context after which the problem's own state is as before, whichever context was in use
        in between.
        """
        now = self.problem.context()
        try:
            yield
        finally:
            self.problem.set_context(now)
            self._in_use = 0

    def versions(self) -> list[int]:
        """Those of the publications that are kept."""
        return list(self._kept)

    def choose(self, version: int) -> None:
        """Let sums be over the population of this version from now on."""
        evaluated = self._kept[version].evaluated
        assert evaluated is not None
        self.candidates["search"] = evaluated.search_population
        self.search_version = version

    def population(self, version: int) -> Candidates:
        """The population of a publication that is kept."""
        evaluated = self._kept[version].evaluated
        assert evaluated is not None
        return evaluated

    def unit_bounds(self, task: Task) -> list[tuple[int, int]]:
        """The members of each unit of a task. A sum is one unit."""
        _, kind, _, start, stop = task
        if kind != Kind.EVALUATE or stop - start <= self.unit_size:
            return [(start, stop)]
        return chunks(stop, self.unit_size, start)

    def execute(self, kind: int, start: int, stop: int) -> bytes:
        """Do one unit, of some members or coordinates, and return its result as bytes.

        Raises:
            MembersFailed: members of an evaluation raised.
        """
        if kind == Kind.EVALUATE:
            return pack_chunk(*self._evaluate(start, stop), self.specs)

        search = self.candidates["search"]
        if kind == Kind.LENGTHS:
            assert isinstance(search, GaussianSamples | JointPopulation)
            normals = search.normals(self.noise, np.flatnonzero(self.weights)[start:stop])
            lengths: NDArray[np.float64] = np.einsum("ij,ij->i", normals, normals)
            return lengths.tobytes()

        if kind == Kind.INNER_PRODUCTS:
            assert isinstance(search, RestrictedSamples | JointPopulation)
            chosen = np.flatnonzero(self.weights)
            return search.inner_products(self.noise, chosen, start, stop).tobytes()

        power = 1 if kind == Kind.NOISE_SUM else 2
        weights, starts = search.weighted_starts(self.noise, self.weights, power)
        if kind == Kind.PRODUCT_SUM:
            size = product_tile(self.problem.dimension, search.population_size)
            return product_sum(self.noise, weights, starts, (start, stop), size).tobytes()

        out = np.empty(stop - start, self.weights.dtype)
        self.noise.weighted_sum(weights, starts, start, power, out)
        return out.tobytes()

    def evaluate_units(self, bounds: list[tuple[int, int]]) -> list[bytes]:
        """The results of neighbouring units of evaluation by one call, where `can_group`.

        Raises:
            MembersFailed: members raised.
        """
        first = bounds[0][0]
        records, arrays = self._evaluate(first, bounds[-1][1])
        if self.specs:
            return [
                pack_chunk(
                    records[start - first : stop - first],
                    {name: rows[start - first : stop - first] for name, rows in arrays.items()},
                    self.specs,
                )
                for start, stop in bounds
            ]
        image = records.tobytes()
        size = records.itemsize
        return [image[(start - first) * size : (stop - first) * size] for start, stop in bounds]

    def address_of_evaluation(self, version: int) -> Failure:
        """The generation, purpose and seed of an evaluation, for the record of a member whose
        worker died.
        """
        candidates = self.population(version)
        return {
            "generation": candidates.generation,
            "purpose": candidates.episode_purpose,
            "seed": candidates.seed,
        }

    def members_at_once(self, start: int, stop: int, version: int | None = None) -> float:
        """The number of ordinary members that may pass without a sign of progress from the
        evaluation of these members, of the population in use or of another version.
        """
        kept = self._kept[self._in_use if version is None else version]
        assert kept.evaluated is not None
        if kept.together == 1 and self._shows_progress:
            return 1.0
        usual = self.problem.episodes_per_member
        episodes = (kept.evaluated.num_episodes(member) or usual for member in range(start, stop))
        return sum(max(1.0, count / usual) for count in episodes)

    def previous(self, kind: str) -> Candidates | None:
        """The population that a publication of this kind follows."""
        return None if KINDS[kind] is PolicyEpisodes else self.candidates.get("search")

    def _evaluate(self, start: int, stop: int) -> Evaluated:
        candidates = self._evaluated
        try:
            return self.evaluate_rows(candidates, start, candidates.rows(self.noise, start, stop))
        except (MembersFailed, WorkerError):
            raise
        except (Exception, SystemExit) as error:
            failure = failure_of(error, candidates, start, candidates.seed)
            raise MembersFailed(failed_records(start, stop), {}, [failure]) from error
        finally:
            FORKS.end_child()

    def _install(
        self, version: int, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Keep a publication, use it, and forget those that it replaces."""
        channel = _channel(header)
        oldest = header.get("oldest", version)
        for old in [old for old, kept in self._kept.items() if kept.channel == channel]:
            if old < oldest:
                del self._kept[old]

        if "kind" in header:
            own, context = _split(arrays)
            evaluated = KINDS[header["kind"]].receive(header["candidates"], own, None, self.noise)
            context = {name.removeprefix("context/"): array for name, array in context.items()}
            self._kept[version] = _Kept(channel, evaluated, header["together"], context)
        else:
            self._kept[version] = _Kept(channel, weights=arrays["weights"], of=header["of"])
        self._in_use = 0
        self._use(version)

    def _use(self, version: int) -> None:
        """Let tasks be about a publication from now on."""
        kept = self._kept[version]
        if kept.evaluated is None:
            self.weights = kept.weights
            if self.search_version != kept.of:
                self.choose(kept.of)
            return
        if self._in_use == version:
            return

        self._in_use = version
        self._evaluated = kept.evaluated
        self.candidates[kept.channel] = kept.evaluated.search_population
        if kept.channel == "search":
            self.search_version = version
        self.unit_size = evaluation_chunk_size(kept.evaluated.population_size, kept.together)
        self.specs = self.problem.array_specs(kept.evaluated.episode_purpose)
        is_free = self.problem.are_members_independent and all(
            spec.is_of_members for spec in self.specs
        )
        self.can_group = self.may_group and is_free and kept.together == 1
        self.context = kept.context
        self.num_contexts += 1
        self.problem.set_context(kept.context)


def _split(
    arrays: Mapping[str, NDArray[Any]],
) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    own = {
        name.removeprefix("candidates/"): array
        for name, array in arrays.items()
        if name.startswith("candidates/")
    }
    context = {name: array for name, array in arrays.items() if name.startswith("context/")}
    return own, context


def _channel(header: Mapping[str, Any]) -> str:
    """The channel of a publication, which replaces the previous one of its channel: the search's
    population, an evaluated policy, or weights.
    """
    if "kind" not in header:
        return "weights"
    return "evaluation" if KINDS[header["kind"]] is PolicyEpisodes else "search"
