"""Members that are policies in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.environments.rules import Rules
from esengine.environments.spaces import ObservationSpec
from esengine.environments.spec import EnvironmentSpec
from esengine.policies.network import Actor, PolicySpec
from esengine.policies.normalizer import RunningStatistics, merge_moments
from esengine.problems.behaviors import Behavior
from esengine.problems.contract import FAILED, MEMBER, OK, STOPPED, failure_of
from esengine.problems.episode_limits import EpisodeLimits
from esengine.problems.episodes import EpisodeSeeds, Summary, episode_seeds
from esengine.problems.failures import Failure, MembersFailed
from esengine.simulators.contract import NO_GATE, BatchSimulator, EnvBackend, Gate, Simulator
from esengine.simulators.families import make_simulator

_NO_LIMIT = 2**62
_LEAST_CHUNKS = 8  # of a generation, so that some ranks share it, however cheap the members


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
        """What is taken off each member of a generation, (num_members,); a row's does not depend on
        the others.
        """
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
        episode_seeds: who meets the same start states within a generation: the two signs of a pair,
            everybody, or nobody.
        normalize_observations: scale observations by running mean and standard deviation.
        max_episode_steps: cut episodes, or None.
        fresh_env: make the environment anew for every episode, for environments whose reset does
            not forget.
        env_backend: see `simulators.make_simulator`.
        antithetic: whether members 2k and 2k + 1 are a pair.
        survival_bonus: taken off the return for every step of a training episode, never in
            evaluation.
        summary: of the returns of a member's training episodes.
        limits: of training episodes; every rank has a copy of its own.
        behavior: what comes back of every member beside its return, or None.
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
    summary: Summary = field(default_factory=Summary)
    limits: EpisodeLimits = field(default_factory=EpisodeLimits)
    behavior: Behavior | None = None
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
    def num_statistics(self) -> int:
        return self.num_moments + self.num_traits

    @property
    def num_moments(self) -> int:
        """Length of the packed observation moments that a chunk of the search sends."""
        return 1 + 2 * self.observations.dim if self._observes else 0

    @property
    def num_traits(self) -> int:
        """Numbers of a member that follow a chunk's moments: its return at the gate, and its
        behaviour.
        """
        size = 0 if self.behavior is None else self.behavior.size
        return size + 1 if self.behavior is not None or self.limits.gate_step else 0

    @property
    def _one_by_one(self) -> bool:
        """Whether members need what is told of single episodes only."""
        return self.num_traits > 0 or (
            self.survival_bonus != 0 and self.summary.statistic != "mean"
        )

    def _batch_simulator(self, training: bool) -> BatchSimulator | None:
        """What runs members together, or None where there is no such thing or something is asked of
        single episodes.
        """
        simulator = None if self._one_by_one else self.simulator()
        return simulator if isinstance(simulator, BatchSimulator) else None

    def members_together(self, population_size: int) -> int:
        simulator = self._batch_simulator(training=False)
        if simulator is None:
            return 1
        return max(1, min(simulator.most_members, population_size // _LEAST_CHUNKS))

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        records = np.zeros(len(rows), MEMBER)
        records["member"] = np.arange(first, first + len(rows))
        observes = self._observes and candidates.episode_purpose == "episode"
        moments = np.zeros(self.num_moments if observes or self.num_traits else 0)
        traits = np.full((len(rows), self.num_traits), np.nan)
        self._failures: list[Failure] = []
        start = 0
        for num_episodes, group in groupby(
            map(candidates.num_episodes, records["member"].tolist())
        ):
            here = slice(start, start := start + len(list(group)))
            seeds = self.seeds(
                candidates, records["member"][here], num_episodes or self.episodes_per_member
            )
            records["episodes"][here] = seeds.shape[1]
            observed = moments if observes else np.zeros(0)
            self._run_members(records[here], candidates, rows[here], seeds, observed, traits[here])
        statistics = np.concatenate([moments, traits.ravel()]) if self.num_traits else moments
        if self._failures:
            raise MembersFailed(records, statistics, self._failures)
        return records, statistics

    def merge(self, statistics: NDArray[np.float64]) -> None:
        if statistics.size and self._observes:
            self.statistics.merge(statistics[: self.num_moments])

    def traits(
        self, statistics: list[NDArray[np.float64]], bounds: list[tuple[int, int]]
    ) -> NDArray[np.float64]:
        """What came back of every member beside its record, (population_size, num_traits); NaN
        where it failed.
        """
        traits = np.full((bounds[-1][1], self.num_traits), np.nan)
        for (start, stop), chunk in zip(bounds, statistics, strict=True):
            if chunk.size:
                traits[start:stop] = chunk[self.num_moments :].reshape(
                    stop - start, self.num_traits
                )
        return traits

    def adapt(
        self, candidates: Candidates, records: NDArray[Any], traits: NDArray[np.float64]
    ) -> None:
        """Set the limits of the next generation's episodes by this one's, those that are evaluated
        again left out.
        """
        if self.limits.cap is None and not self.limits.gate_step:
            return
        limited = np.array(
            [
                candidates.num_episodes(member) is None
                for member in range(candidates.population_size)
            ]
        )
        if limited.any():
            at_gate = traits[limited, 0] if self.num_traits else np.zeros(0)
            self.limits.adapt(records["steps"][limited] / records["episodes"][limited], at_gate)

    def scaling(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and inverse standard deviation that observations are scaled by now."""
        return self.statistics.scale() if self._adopted is None else self._adopted

    def adopt_scaling(self, mean: NDArray[np.float32], inverse_std: NDArray[np.float32]) -> None:
        """Scale as a given policy does, for good: its parameters mean nothing under another
        scaling.
        """
        self._adopted = (mean, inverse_std)

    def state(self) -> dict[str, NDArray[Any]]:
        """The observation statistics and the limits, for a checkpoint."""
        return {"statistics": self.statistics.pack(), "limits": self.limits.pack()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Go on with the statistics of `state`."""
        self.statistics = RunningStatistics.empty(self.observations.dim)
        self.statistics.merge(state["statistics"])
        self.limits.unpack(state["limits"])

    def context(self) -> dict[str, NDArray[Any]]:
        mean, inverse_std = self.scaling()
        return {
            "observation_mean": mean,
            "observation_inverse_std": inverse_std,
            "limits": self.limits.pack(),
        }

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.actor.observation_mean = np.array(
            arrays["observation_mean"]
        )  # copies: a mapped array is another type to Numba
        self.actor.observation_inverse_std = np.array(arrays["observation_inverse_std"])
        self.limits.unpack(arrays["limits"])

    def _run_members(
        self,
        records: NDArray[Any],
        candidates: Candidates,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        traits: NDArray[np.float64],
    ) -> None:
        """Run ``seeds[i]``'s episodes with ``rows[i]``; a failed member leaves no observations
        behind.
        """
        training = candidates.episode_purpose == "episode"
        simulator = self._batch_simulator(training)
        rules = self._rules(candidates, int(records["member"][0]))
        if simulator is not None:
            observed = statistics.copy()
            try:
                returns, records["steps"] = simulator.run_members(
                    self.actor, rows, seeds, observed, rules.max_steps
                )
                statistics[:] = observed
            except (Exception, SystemExit) as error:  # which of them it was cannot be told
                returns = np.full(seeds.shape, np.nan)
                for member, seed in zip(
                    records["member"].tolist(), seeds[:, 0].tolist(), strict=True
                ):
                    self._failed(error, candidates, member, seed)
        else:
            returns = np.zeros(seeds.shape)
            for i, row in enumerate(rows):
                moments = np.zeros(statistics.size) if statistics.size else None
                self.actor.parameters = np.array(row, np.float32)
                run = self._run_member(
                    candidates, int(records["member"][i]), seeds[i], moments, rules
                )
                returns[i], records["steps"][i], stopped = run.returns, run.steps, run.stopped
                traits[i] = run.traits
                records["status"][i] = STOPPED if stopped else OK
                if moments is not None and np.isfinite(returns[i]).all():
                    merge_moments(statistics, moments)
        records["fitness"] = self.summary(returns) if training else returns.mean(axis=1)
        if training and self.summary.statistic == "mean":
            records["fitness"] -= self.survival_bonus * records["steps"] / seeds.shape[1]
        if training and self.anchor is not None:
            records["fitness"] -= self.anchor.penalties(rows, candidates.generation)
        records["status"][~np.isfinite(records["fitness"])] = FAILED

    def _run_member(
        self,
        candidates: Candidates,
        member: int,
        seeds: NDArray[np.uint64],
        moments: NDArray[np.float64] | None,
        rules: EpisodeRules,
    ) -> MemberRun:
        """Run the episodes of a member, whose parameters `actor` has, one after another.

        Args:
            candidates: whose member it is.
            member: its number.
            seeds: (num_episodes,).
            moments: grows by its observations; None where nobody asks for them.
            rules: when episodes end.
        """
        returns, steps, stopped = np.zeros(seeds.size), 0, False
        traits = np.zeros((seeds.size, self.num_traits))
        for episode, seed in enumerate(seeds.tolist()):
            try:
                simulator = self.simulator()
                outcome = simulator.run(self.actor, seed, moments, rules.max_steps, rules.gate)
                if self.num_traits:
                    traits[episode, 0] = outcome.at_gate
                if self.behavior is not None:
                    traits[episode, 1:] = self.behavior.compute(simulator, outcome)
            except (Exception, SystemExit) as error:
                self._failed(error, candidates, member, seed)
                return MemberRun.failed(seeds.size, self.num_traits)
            returns[episode] = outcome.episode_return - rules.bonus * outcome.num_steps
            steps += outcome.num_steps
            stopped |= outcome.num_steps == rules.gate.step and outcome.at_gate < rules.gate.least
        return MemberRun(returns, steps, stopped, traits.mean(axis=0))

    def _rules(self, candidates: Candidates, member: int) -> EpisodeRules:
        """What ends the episodes of a member, and those evaluated with it, early: nothing in
        evaluations.
        """
        if candidates.episode_purpose != "episode":
            return EpisodeRules(self.max_episode_steps, NO_GATE, 0.0)
        cap = min(self.max_episode_steps or _NO_LIMIT, self.limits.cap or _NO_LIMIT)
        gate = self.limits.gate if candidates.num_episodes(member) is None else NO_GATE
        bonus = (
            0.0 if self.summary.statistic == "mean" else self.survival_bonus
        )  # of the mean it is taken off at once
        return EpisodeRules(None if cap == _NO_LIMIT else cap, gate, bonus)

    def _failed(self, error: BaseException, candidates: Candidates, member: int, seed: int) -> None:
        """Note a failure, and let go of a simulator that may be in any state."""
        self._failures.append(failure_of(error, candidates, member, seed))
        self._simulator = None

    def seeds(
        self, candidates: Candidates, members: NDArray[np.int64], num_episodes: int
    ) -> NDArray[np.uint64]:
        """Seeds of the members' episodes, (num_members, num_episodes)."""
        return episode_seeds(candidates, members, num_episodes, self.episode_seeds, self.antithetic)

    def warm_up(self) -> None:
        """Take one step, which compiles what an episode uses; what raises here raises again in
        members, who are counted.
        """
        try:
            self.simulator().run(
                self.actor, 0, np.zeros(1 + 2 * self.observations.dim), max_steps=1
            )
        except (Exception, SystemExit):
            self._simulator = None  # it may be in any state

    def simulator(self) -> Simulator:
        """The rank's simulator, made when it is first needed, or anew for every episode with
        ``fresh_env``.
        """
        if self._simulator is None or self.fresh_env:
            if self._simulator is not None:
                self._simulator.close()
            self._simulator = make_simulator(
                self.environment, self.observations, self.env_backend, self.shield
            )
        return self._simulator


class EpisodeRules(NamedTuple):
    """When episodes end, and what is taken off for each of their steps."""

    max_steps: int | None
    gate: Gate
    bonus: float


class MemberRun(NamedTuple):
    """A member's episodes: returns (num_episodes,), steps of all, whether the gate stopped one,
    mean traits.
    """

    returns: NDArray[np.float64]
    steps: int
    stopped: bool
    traits: NDArray[np.float64]

    @classmethod
    def failed(cls, num_episodes: int, num_traits: int = 0) -> MemberRun:
        """That of a member with an episode that failed."""
        return cls(np.full(num_episodes, np.nan), 0, False, np.full(num_traits, np.nan))
