"""What members are evaluated on: a policy in an environment, or a plain function.

A problem lives on every rank. `evaluate` is called with the parameters of one chunk and returns one record a member and the
chunk's partial statistics; `merge` adds those on the master, in chunk order; `context` is what the master publishes with
each generation (the observation scaling), and `set_context` receives it.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.environments import EnvironmentSpec
from esengine.errors import WorkerError
from esengine.normalizer import RunningStatistics
from esengine.policies import Actor, PolicySpec
from esengine.seeding import derive_key, derive_seed
from esengine.simulators import EnvBackend, Simulator, make_simulator
from esengine.spaces import ObservationSpec

OK, FAILED = 0, 1

MEMBER = np.dtype([("member", "<i8"), ("fitness", "<f8"), ("steps", "<i8"), ("episodes", "<i4"), ("status", "<i4")])
"""The fixed-size record that comes back for every member. ``fitness`` is the mean return over its episodes."""

EpisodeSeeds = Literal["pair", "generation", "member"]


class Problem(Protocol):
    """The contract of `EnvironmentProblem` and `ObjectiveProblem`."""

    @property
    def dimension(self) -> int:
        """Number of parameters."""

    @property
    def dtype(self) -> type[np.floating]:
        """Precision of the parameters: float32 for policies, float64 for functions."""

    @property
    def num_statistics(self) -> int:
        """Length of the float64 vector of partial statistics that a chunk sends."""

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Records (num_members,) of `MEMBER` and statistics (num_statistics,) of the members from ``first`` on."""

    def merge(self, statistics: NDArray[np.float64]) -> None:
        """Add one chunk's statistics; called on the master in chunk order."""

    def context(self) -> dict[str, NDArray[Any]]:
        """Arrays that workers need beside the population."""

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Use the arrays of `context`."""


@dataclass
class EnvironmentProblem:
    """The mean return of a policy's episodes.

    Args:
        environment: the environment.
        observations: how its observations are flattened.
        policy: the architecture that rows are parameters of.
        seed: the run's seed.
        episodes_per_member: episodes that a member's fitness is the mean of.
        episode_seeds: who meets the same start states within a generation: the two signs of a pair, everybody, or nobody.
        normalize_observations: scale observations by running mean and standard deviation.
        max_episode_steps: cut episodes, or None.
        fresh_env: make the environment anew for every episode, for environments whose reset does not forget.
        env_backend: step through gymnasium, or in compiled code where that exists.
        antithetic: whether members 2k and 2k + 1 are a pair.
    """

    environment: EnvironmentSpec
    observations: ObservationSpec
    policy: PolicySpec
    seed: int
    episodes_per_member: int = 1
    episode_seeds: EpisodeSeeds = "pair"
    normalize_observations: bool = True
    max_episode_steps: int | None = None
    fresh_env: bool = False
    env_backend: EnvBackend = "auto"
    antithetic: bool = False

    dtype = np.float32

    def __post_init__(self) -> None:
        self.statistics = RunningStatistics.empty(self.observations.dim)
        self._adopted: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        self._simulator: Simulator | None = None
        mean, inverse_std = self.scaling()
        self.actor = Actor(self.policy, np.zeros(self.dimension, np.float32), mean, inverse_std)

    @property
    def dimension(self) -> int:
        return self.policy.num_parameters

    @property
    def _observes(self) -> bool:
        return self.normalize_observations and self._adopted is None

    @property
    def num_statistics(self) -> int:
        return 1 + 2 * self.observations.dim if self._observes else 0

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        records = np.zeros(len(rows), MEMBER)
        chunk = RunningStatistics.empty(self.observations.dim)
        observes = self._observes and candidates.episode_purpose == "episode"
        for record, member, row in zip(records, range(first, first + len(rows)), rows, strict=True):
            moments = np.zeros(self.num_statistics) if observes else None
            self._run_member(record, candidates, member, row, moments)
            if moments is not None and record["status"] == OK:
                chunk.merge(moments)
        return records, chunk.pack() if observes else np.zeros(0)

    def merge(self, statistics: NDArray[np.float64]) -> None:
        if statistics.size:
            self.statistics.merge(statistics)

    def scaling(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and inverse standard deviation that observations are scaled by now."""
        return self.statistics.scale() if self._adopted is None else self._adopted

    def adopt_scaling(self, mean: NDArray[np.float32], inverse_std: NDArray[np.float32]) -> None:
        """Scale as a given policy does, for good: its parameters mean nothing under another scaling."""
        self._adopted = (mean, inverse_std)

    def state(self) -> dict[str, NDArray[Any]]:
        """The observation statistics, for a checkpoint."""
        return {"statistics": self.statistics.pack()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on with the statistics of `state`."""
        self.statistics = RunningStatistics.empty(self.observations.dim)
        self.statistics.merge(state["statistics"])

    def context(self) -> dict[str, NDArray[Any]]:
        mean, inverse_std = self.scaling()
        return {"observation_mean": mean, "observation_inverse_std": inverse_std}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.actor.observation_mean = np.array(arrays["observation_mean"])  # copies: a mapped array is another type to Numba
        self.actor.observation_inverse_std = np.array(arrays["observation_inverse_std"])

    def _run_member(
        self,
        record: Any,
        candidates: Candidates,
        member: int,
        row: NDArray[np.floating],
        moments: NDArray[np.float64] | None,
    ) -> None:
        key = derive_key(candidates.seed, candidates.episode_purpose, candidates.generation)
        num_episodes = candidates.num_episodes(member) or self.episodes_per_member
        returns, steps = np.zeros(num_episodes), 0
        self.actor.parameters = np.array(row, np.float32)
        for episode in range(num_episodes):
            seed = derive_seed(key, self._seed_group(candidates, member), episode)
            try:
                outcome = self.simulator().run(self.actor, seed, moments, self.max_episode_steps)
            except Exception as error:
                raise _member_error(error, candidates, member, seed) from error
            returns[episode] = outcome.episode_return
            steps += outcome.num_steps
        record["member"], record["steps"], record["episodes"] = member, steps, num_episodes
        record["fitness"] = returns.mean()
        record["status"] = OK if math.isfinite(record["fitness"]) else FAILED

    def _seed_group(self, candidates: Candidates, member: int) -> int:
        """Members of one group meet the same starts; those that are evaluated again share theirs, to be comparable."""
        if candidates.episode_purpose != "episode":
            return member
        if candidates.num_episodes(member) is not None:
            return 0
        match self.episode_seeds:
            case "generation":
                return 1
            case "pair" if self.antithetic:
                return 1 + member // 2
        return 1 + member

    def simulator(self) -> Simulator:
        """The rank's simulator, made when it is first needed, or anew for every episode with ``fresh_env``."""
        if self._simulator is None or self.fresh_env:
            if self._simulator is not None:
                self._simulator.close()
            self._simulator = make_simulator(self.environment, self.observations, self.env_backend)
        return self._simulator


@dataclass
class ObjectiveProblem:
    """The value of a plain function of the parameters.

    Args:
        function: maps (dimension,) float64 to a float.
        dimension: number of parameters.
        minimize: whether the function is a cost; fitness is then its negative.
    """

    function: Callable[[NDArray[np.float64]], float]
    dimension: int
    minimize: bool = False

    dtype = np.float64
    num_statistics = 0

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        records = np.zeros(len(rows), MEMBER)
        for record, member, row in zip(records, range(first, first + len(rows)), rows, strict=True):
            try:
                value = float(self.function(row))
            except Exception as error:
                raise _member_error(error, candidates, member, candidates.seed) from error
            record["member"], record["episodes"] = member, 1
            record["fitness"] = -value if self.minimize else value
            record["status"] = OK if math.isfinite(value) else FAILED
        return records, np.zeros(0)

    def merge(self, statistics: NDArray[np.float64]) -> None:
        pass

    def context(self) -> dict[str, NDArray[Any]]:
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        pass


def _member_error(error: Exception, candidates: Candidates, member: int, seed: int) -> WorkerError:
    """The error with the address of the member that raised it; the pool adds rank and host."""
    trace = "".join(traceback.format_exception(error))
    return WorkerError(f"generation {candidates.generation}, member {member}, seed {seed} raised:\n{trace}")
