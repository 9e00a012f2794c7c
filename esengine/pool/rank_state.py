"""The state of a rank: what it works on, and the units of work that it can do."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any

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


class RankState:
    """The noise, the problem and the published state of a rank, be it the master or a worker.

    Args:
        noise: the node's noise.
        problem: the rank's copy of the problem.
        memory: the node's shared files, or None when the process is alone.

    Attributes:
        candidates: the published populations: that of the search, and that of an evaluated policy.
        weights: of the last sum.
        unit_size: members of a unit of the last published population; the last unit may have fewer.
        specs: of the arrays that such a unit returns in addition to its records.
        evaluate_rows: evaluates members with their parameters, as `Problem.evaluate` does.
        context: of the problem, as it was last published.
        num_contexts: how often that was.
        can_group: whether one call may do several such units. Then they return records and arrays
            of one row a member, and nothing of a member depends on the others in the call.
    """

    def __init__(self, noise: Noise, problem: Problem, memory: NodeMemory | None) -> None:
        self.noise = noise
        self.problem = problem
        self.memory = memory
        self.candidates: dict[str, Candidates] = {}
        self.weights: NDArray[np.floating] = np.empty(0)
        self.unit_size = 1
        self.specs: tuple[ArraySpec, ...] = ()
        self.evaluate_rows = problem.evaluate
        self.context: Mapping[str, NDArray[Any]] = {}
        self.num_contexts = 0
        self.can_group = False
        self._versions: dict[str, int] = {}
        self._shows_progress = isinstance(problem, ProgressingProblem)
        self._together = 1  # members of one call, which shows no progress in between
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
            built = KINDS[kind].receive(header["candidates"], own, self.previous(kind), self.noise)
            shared_header, own = built.shared()
            header = {**header, "candidates": shared_header}
            arrays = {**{f"candidates/{name}": array for name, array in own.items()}, **context}

        if self.memory is None:
            self._install(version, header, arrays)
            return

        replaced = self._versions.get(_channel(header))
        self.memory.write(version, header, arrays)
        self.load(version)
        if replaced is not None and replaced != version and self.memory.holds(replaced):
            self.memory.remove(replaced)

    def images(self) -> list[tuple[int, bytes]]:
        """The version and the packed bundle of each current publication, in order of versions."""
        assert self.memory is not None
        versions = dict(self._versions)
        if versions.get("weights", 0) < versions.get("search", 0):
            versions.pop("weights", None)  # they belong to an earlier population
        return [(version, self.memory.image(version)) for version in sorted(versions.values())]

    def load(self, version: int) -> None:
        """Map a publication that the node's leader wrote, unless it is in use already."""
        if version in self._versions.values():
            return

        assert self.memory is not None
        header, arrays = map_bundle(self.memory.find(version))
        if "of" in header:  # weights of a population, of which this rank may have done no member
            self.load(header["of"])
        self._install(version, header, arrays)

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

    def address_of_evaluation(self) -> Failure:
        """The generation, purpose and seed of the evaluation, for the record of a member whose
        worker died.
        """
        candidates = self._evaluated
        return {
            "generation": candidates.generation,
            "purpose": candidates.episode_purpose,
            "seed": candidates.seed,
        }

    def members_at_once(self, start: int, stop: int) -> float:
        """The number of ordinary members that may pass without a sign of progress from the
        evaluation of these members.
        """
        if self._together == 1 and self._shows_progress:
            return 1.0
        usual = self.problem.episodes_per_member
        episodes = (self._evaluated.num_episodes(member) or usual for member in range(start, stop))
        return sum(max(1.0, count / usual) for count in episodes)

    @property
    def search_version(self) -> int:
        """The version of the search's population."""
        return self._versions["search"]

    def previous(self, kind: str) -> Candidates | None:
        """The population that a publication of this kind follows."""
        return None if KINDS[kind] is PolicyEpisodes else self.candidates.get("search")

    def _evaluate(self, start: int, stop: int) -> Evaluated:
        candidates = self._evaluated
        try:
            return self.evaluate_rows(candidates, start, candidates.rows(self.noise, start, stop))
        except MembersFailed:
            raise
        except (Exception, SystemExit) as error:
            failure = failure_of(error, candidates, start, candidates.seed)
            raise MembersFailed(failed_records(start, stop), {}, [failure]) from error
        finally:
            FORKS.end_child()

    def _install(
        self, version: int, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        self._versions[_channel(header)] = version
        if "kind" in header:
            own, context = _split(arrays)
            self._evaluated = KINDS[header["kind"]].receive(
                header["candidates"], own, None, self.noise
            )
            self.candidates[_channel(header)] = self._evaluated.search_population
            population_size = self._evaluated.population_size
            self._together = header["together"]
            self.unit_size = evaluation_chunk_size(population_size, self._together)
            self.specs = self.problem.array_specs(self._evaluated.episode_purpose)
            is_free = self.problem.are_members_independent and all(
                spec.is_of_members for spec in self.specs
            )
            self.can_group = is_free and self._together == 1
            self.context = {name.removeprefix("context/"): array for name, array in context.items()}
            self.num_contexts += 1
            self.problem.set_context(self.context)
        else:
            self.weights = arrays["weights"]


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
