"""What members are evaluated on: a policy in an environment, or a plain function.

A problem lives on every rank. `evaluate` is called with the parameters of one chunk and returns one record a member and the
chunk's partial statistics; `merge` adds those on the master, in chunk order; `context` is what the master publishes with
each generation (the observation scaling), and `set_context` receives it.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.environments import EnvironmentSpec
from esengine.errors import WorkerError
from esengine.normalizer import RunningStatistics, merge_moments
from esengine.policies import Actor, PolicySpec
from esengine.rules import Rules
from esengine.seeding import derive_key, derive_seeds
from esengine.shields import ShieldedSimulator
from esengine.simulators import BatchSimulator, EnvBackend, Simulator, make_simulator
from esengine.spaces import ObservationSpec

OK, FAILED = 0, 1

MEMBER = np.dtype([("member", "<i8"), ("fitness", "<f8"), ("steps", "<i8"), ("episodes", "<i4"), ("status", "<i4")])
"""The fixed-size record that comes back for every member. ``fitness`` is the mean return over its episodes."""

_LEAST_CHUNKS = 8  # of a generation, so that some ranks share it, however cheap the members

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

    def members_together(self, population_size: int) -> int:
        """Members that are best evaluated in one call, from the settings and the population alone."""

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


@dataclass(frozen=True)
class Anchor:
    """Takes off the fitness what a member is away from where the search began, less and less.

    Attributes:
        parameters: (num_parameters,) where it began.
        weight: of the mean squared distance in the first generation.
        decay: factor on it after every generation.
    """

    parameters: NDArray[np.float32]
    weight: float
    decay: float

    def penalties(self, rows: NDArray[np.floating], generation: int) -> NDArray[np.float64]:
        """What is taken off each member of a generation, (num_members,); a row's does not depend on the others."""
        apart = [row.astype(np.float64) - self.parameters for row in rows]
        weight = self.weight * self.decay ** max(0, generation - 1)
        return weight * np.array([float(distance @ distance) / distance.size for distance in apart])


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
        env_backend: see `simulators.make_simulator`.
        antithetic: whether members 2k and 2k + 1 are a pair.
        survival_bonus: taken off the return for every step of a training episode, never in evaluation.
        shield: rules that step in while policies act, in training and evaluation alike.
        anchor: keeps training members near a policy, or None.
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
    survival_bonus: float = 0.0
    shield: Rules = field(default_factory=lambda: Rules(()))
    anchor: Anchor | None = None

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
    def num_moments(self) -> int:
        """Length of the packed observation moments that a chunk of the search sends."""
        return 1 + 2 * self.observations.dim if self._observes else 0

    @property
    def num_statistics(self) -> int:
        return self.num_moments

    def members_together(self, population_size: int) -> int:
        simulator = self.simulator()
        if not isinstance(simulator, BatchSimulator):
            return 1
        return max(1, min(simulator.most_members, population_size // _LEAST_CHUNKS))

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        records = np.zeros(len(rows), MEMBER)
        records["member"] = np.arange(first, first + len(rows))
        statistics = np.zeros(self.num_moments if candidates.episode_purpose == "episode" else 0)
        start = 0
        for num_episodes, group in groupby(map(candidates.num_episodes, records["member"].tolist())):
            here = slice(start, start := start + len(list(group)))
            seeds = self._seeds(candidates, records["member"][here], num_episodes or self.episodes_per_member)
            records["episodes"][here] = seeds.shape[1]
            self._run_members(records[here], candidates, rows[here], seeds, statistics)
        return records, statistics

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

    def _run_members(
        self,
        records: NDArray[Any],
        candidates: Candidates,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
    ) -> None:
        """Run ``seeds[i]``'s episodes with ``rows[i]``; a failed member leaves no observations behind."""
        simulator = self.simulator()
        if isinstance(simulator, BatchSimulator):
            try:
                returns, steps = simulator.run_members(self.actor, rows, seeds, statistics, self.max_episode_steps)
            except Exception as error:
                raise member_error(error, candidates, records["member"][0], seeds[0, 0]) from error
            records["steps"] = steps
        else:
            returns = np.zeros(seeds.shape)
            for i, row in enumerate(rows):
                moments = np.zeros(statistics.size) if statistics.size else None
                records["steps"][i] = self._run_member(candidates, records["member"][i], row, seeds[i], moments, returns[i])
                if moments is not None and np.isfinite(returns[i]).all():
                    merge_moments(statistics, moments)
        records["fitness"] = returns.mean(axis=1)
        if candidates.episode_purpose == "episode":
            records["fitness"] -= self.survival_bonus * records["steps"] / seeds.shape[1]
            if self.anchor is not None:
                records["fitness"] -= self.anchor.penalties(rows, candidates.generation)
        records["status"] = np.where(np.isfinite(records["fitness"]), OK, FAILED)

    def _run_member(
        self,
        candidates: Candidates,
        member: int,
        row: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        moments: NDArray[np.float64] | None,
        returns: NDArray[np.float64],
    ) -> int:
        """Fill in the return of each episode; returns the steps of all."""
        steps = 0
        self.actor.parameters = np.array(row, np.float32)
        for episode, seed in enumerate(seeds.tolist()):
            try:
                outcome = self.simulator().run(self.actor, seed, moments, self.max_episode_steps)
            except Exception as error:
                raise member_error(error, candidates, member, seed) from error
            returns[episode] = outcome.episode_return
            steps += outcome.num_steps
        return steps

    def _seeds(self, candidates: Candidates, members: NDArray[np.int64], num_episodes: int) -> NDArray[np.uint64]:
        """Seeds of the members' episodes, (num_members, num_episodes).

        Members of one group meet the same starts; those that are evaluated again share theirs, to be comparable.
        """
        key = np.uint64(derive_key(candidates.seed, candidates.episode_purpose, candidates.generation))
        groups = 1 + members
        if candidates.episode_purpose != "episode":
            groups = members
        elif candidates.num_episodes(int(members[0])) is not None:
            groups = np.zeros_like(members)
        elif self.episode_seeds == "generation":
            groups = np.ones_like(members)
        elif self.episode_seeds == "pair" and self.antithetic:
            groups = 1 + members // 2
        seeds: NDArray[np.uint64] = derive_seeds(key, groups, num_episodes)
        return seeds

    def simulator(self) -> Simulator:
        """The rank's simulator, made when it is first needed, or anew for every episode with ``fresh_env``."""
        if self._simulator is None or self.fresh_env:
            if self._simulator is not None:
                self._simulator.close()
            if self.shield:
                self._simulator = ShieldedSimulator(self.environment.make(), self.observations, self.shield)
            else:
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

    def members_together(self, population_size: int) -> int:
        return 1

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        results = []
        for member, row in enumerate(rows, first):
            try:
                value = float(self.function(row))
            except Exception as error:
                raise member_error(error, candidates, member, candidates.seed) from error
            status = OK if math.isfinite(value) else FAILED
            results.append((member, -value if self.minimize else value, 0, 1, status))
        records = np.array(results, MEMBER)
        return records, np.zeros(0)

    def merge(self, statistics: NDArray[np.float64]) -> None:
        pass

    def context(self) -> dict[str, NDArray[Any]]:
        return {}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        pass


def member_error(error: Exception, candidates: Candidates, member: int, seed: int) -> WorkerError:
    """The error with the address of the member that raised it; the pool adds rank and host."""
    trace = "".join(traceback.format_exception(error))
    return WorkerError(f"generation {candidates.generation}, member {member}, seed {seed} raised:\n{trace}")
