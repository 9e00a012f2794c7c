"""What ranks do for a benchmark: generations of members of a known length, or of real rollouts,
timed by the master.

``python -m benchmarks.ranks REQUEST ANSWER`` under mpirun; both are JSON files.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.mpi_pool import nothing
from esengine.candidates import Candidates, MutatedParents, PolicyEpisodes
from esengine.environments import EnvironmentSpec, describe
from esengine.errors import WorkerError
from esengine.launch.mpirun.local_ranks import run_ranks
from esengine.noise import table_log2
from esengine.policies import PolicySpec
from esengine.pool import Built, FaultRules, Pool, on_all_ranks
from esengine.problems import MEMBER, ArraySpec, EnvironmentProblem, Problem
from esengine.problems.contract import Evaluated
from esengine.ranks import StopRequest, World

_NO_TIMEOUT_S = 3600.0

Lengths = Literal["constant", "uniform", "exponential", "stragglers"]


@dataclass(frozen=True)
class Request:
    """Generations to time.

    Attributes:
        population_size: members of a generation.
        num_generations: generations, after one that does not count.
        mean_s: mean length of a member, which sleeps; 0 does nothing at all.
        lengths: how the members' lengths are distributed.
        env_id: run real rollouts in this environment in place of sleeping.
        singly: a message a member, however quick, as with a --member-timeout.
    """

    population_size: int
    num_generations: int = 5
    mean_s: float = 0.0
    lengths: Lengths = "constant"
    env_id: str | None = None
    singly: bool = False


@dataclass(frozen=True)
class Timings:
    """What the master saw.

    Attributes:
        wall_s: seconds of each generation.
        publish_s: seconds of each publication.
        busy_s: seconds that workers spent in each generation, all together.
        master_s: processor seconds of the master in each generation.
    """

    wall_s: list[float]
    publish_s: list[float]
    busy_s: list[float]
    master_s: list[float]


def draw_lengths(lengths: Lengths, mean_s: float, count: int, seed: int = 0) -> NDArray[np.float64]:
    """Lengths of members in seconds, (count,); uniform ones lie between half and one and a half of
    the mean. Of stragglers, one member in ten takes eleven times as long as the others.
    """
    random = np.random.default_rng(seed)
    match lengths:
        case "constant":
            return np.full(count, mean_s)
        case "uniform":
            return random.uniform(0.5 * mean_s, 1.5 * mean_s, count)
        case "exponential":
            return random.exponential(mean_s, count)
        case "stragglers":
            return np.where(random.random(count) < 0.1, 5.5, 0.5) * mean_s


class SleepingMembers:
    """A problem whose members sleep, or do nothing: what is left is the cost of handing them out.

    Args:
        lengths: (population_size,) seconds.
    """

    dimension = episodes_per_member = 1
    are_members_independent = True
    dtype: type[np.floating] = np.float64

    def __init__(self, lengths: NDArray[np.float64]) -> None:
        self._lengths = lengths if lengths.any() else None
        self._records = np.zeros(256, MEMBER)

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        return ()

    def members_together(self, population_size: int) -> int:
        return 1

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        if self._lengths is None:
            for member in range(first, first + len(rows)):
                nothing(member)
        else:
            for member in range(first, first + len(rows)):
                time.sleep(self._lengths[member])
        return self._records[: len(rows)], {}

    def merge(self, arrays: Mapping[str, Any]) -> None:
        pass

    def context(self) -> dict[str, NDArray[Any]]:
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        pass


def measured_by_ranks(workers: int, request: Request, stop: StopRequest) -> Timings:
    """The timings of generations on a master and ``workers`` local ranks.

    Raises:
        UserError: there is no mpirun.
        WorkerError: the ranks failed.
        Interrupted: a signal ended them.
    """
    answer = answered_by_ranks(workers, "benchmarks.ranks", asdict(request), stop)
    return Timings(**{field.name: answer[field.name] for field in fields(Timings)})


def answered_by_ranks(
    workers: int, module: str, request: dict[str, Any], stop: StopRequest, *before: str
) -> dict[str, Any]:
    """What the master rank of a program answers to a request; ``before`` stands before the two
    files' names.
    """
    with tempfile.TemporaryDirectory(prefix="esengine-") as folder:
        question, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        question.write_text(json.dumps(request))
        run_ranks(workers, [*before, str(question), str(answer)], stop, module=module)
        if not answer.exists():
            raise WorkerError(
                f"the {workers + 1} ranks of {module} ended without an answer; see their messages "
                f"above"
            )
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def main(question: Path, answer: Path) -> None:
    """A rank's part: time the generations on the master, serve on the others."""
    request = Request(**json.loads(question.read_text()))
    world = World()
    rules = FaultRules(member_timeout=_NO_TIMEOUT_S if request.singly else None)

    def build() -> Built[Request]:
        problem = _problem(request)
        log2 = table_log2(None, problem.dimension, request.population_size)
        return Built(problem, request, log2)

    timings = on_all_ranks(world, build, _time, rules=rules)
    if timings is not None:
        answer.write_text(json.dumps(asdict(timings)))


def _problem(request: Request) -> Problem:
    if request.env_id is None:
        return SleepingMembers(
            draw_lengths(request.lengths, request.mean_s, request.population_size)
        )
    spec = EnvironmentSpec(request.env_id)
    env = spec.make()
    observations, action = describe(env)
    env.close()
    return EnvironmentProblem(spec, observations, PolicySpec(observations.dim, action, ()), seed=0)


def _candidates(request: Request, generation: int, problem: Problem) -> Candidates:
    row = np.zeros(problem.dimension, problem.dtype)
    if request.env_id is None:
        return PolicyEpisodes(0, generation, request.population_size, row)
    return MutatedParents(0, generation, request.population_size, 0.1, parents=row[None])


def _time(pool: Pool, request: Request) -> Timings:
    timings = Timings([], [], [], [])
    for generation in range(request.num_generations + 1):
        began, used = time.perf_counter(), time.process_time()
        evaluations = pool.evaluate(_candidates(request, generation, pool.rank_state.problem))
        seconds = time.perf_counter() - began
        if generation > 0:
            timings.wall_s.append(seconds)
            timings.publish_s.append(evaluations.publish_s)
            timings.busy_s.append(evaluations.busy_s)
            timings.master_s.append(time.process_time() - used)
    return timings


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
