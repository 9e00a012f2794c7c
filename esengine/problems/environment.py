"""Members that are policies in an environment."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.errors import NotFiniteError, UserError, counted
from esengine.policies import PolicySpec
from esengine.policies.normalizer import RunningStatistics, merge_moments
from esengine.problems.anchor import Anchor
from esengine.problems.behaviors import Behavior
from esengine.problems.chunk_arrays import ArraySpec
from esengine.problems.columns import ARRAY, Columns
from esengine.problems.contract import Evaluated, failure_of
from esengine.problems.environment_episodes import EnvironmentEpisodes
from esengine.problems.episode_limits import EpisodeLimits
from esengine.problems.episodes import EpisodeRules, MemberRun, Summary
from esengine.problems.failures import Failure, MembersFailed
from esengine.problems.parts import EpisodeRunner, Evaluator, ProblemPart
from esengine.problems.records import FAILED, new_records
from esengine.simulators.contract import UNLIMITED, BatchSimulator
from esengine.simulators.stepped import GymnasiumSimulator
from esengine.simulators.traces import check_finite
from esengine.user_code import FORKS

P = TypeVar("P", bound=ProblemPart)

_LEAST_CHUNKS = 8  # of a generation, so that some ranks share it, however cheap the members


@dataclass
class EnvironmentProblem(EnvironmentEpisodes):
    """The mean return of a policy's episodes.

    It runs `EnvironmentEpisodes`, and takes the arguments of those as well.

    Args:
        survival_bonus: taken off the return for every step of a training episode, never in
            evaluation.
        summary: of the returns of a member's training episodes.
        limits: of training episodes; every rank has a copy of its own.
        behavior: numbers that every member returns beside its fitness, or None.
        columns: constraints and measures in the info of an episode's last step, or None.
        anchor: keeps training members near a policy, or None.
        parts: what else the problem does: recorded episodes, learned rewards, goals.
    """

    survival_bonus: float = 0.0
    summary: Summary = field(default_factory=Summary)
    limits: EpisodeLimits = field(default_factory=EpisodeLimits)
    behavior: Behavior | None = None
    columns: Columns | None = None
    anchor: Anchor | None = None
    parts: tuple[ProblemPart, ...] = ()

    dtype = np.float32

    def __post_init__(self) -> None:
        super().__post_init__()
        size = 1 + 2 * self.observations.dim
        self._most_together: int | None = None  # members of one call, once that is known
        self._policy_digest = _digest_of(self.policy)
        self._moments = ArraySpec("moments", (size,), "chunks", missing=0.0)
        self._traits: tuple[ArraySpec, ...] = ()
        if self.behavior is not None:
            self._traits = (ArraySpec("behavior", (self.behavior.size,)),)
        if self.columns is not None:
            self._traits += (self.columns.spec(),)

        self._evaluators = [part for part in self.parts if isinstance(part, Evaluator)]
        self._runners = [part for part in self.parts if isinstance(part, EpisodeRunner)]
        for part in self.parts:
            part.attach(self)

    def find(self, kind: type[P]) -> P | None:
        """The part of a kind, or None if there is none."""
        return next((part for part in self.parts if isinstance(part, kind)), None)

    def part(self, kind: type[P]) -> P:
        """The part of a kind.

        Raises:
            TypeError: there is none.
        """
        found = self.find(kind)
        if found is None:
            raise TypeError(
                f"the problem must have a part {kind.__name__}, got {self.parts}; give it one by "
                f"dataclasses.replace(problem, parts=...)"
            )
        return found

    def _evaluator(self, purpose: str) -> Evaluator | None:
        return next((part for part in self._evaluators if purpose.startswith(part.purpose)), None)

    def _runner(self, purpose: str) -> EpisodeRunner | None:
        return next((part for part in self._runners if part.runs(purpose)), None)

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        alone = self._evaluator(purpose)
        if alone is not None:
            return alone.array_specs(purpose)
        runner = self._runner(purpose)
        specs = self._own_specs(purpose)
        return specs if runner is None else specs + runner.array_specs(purpose)

    def _own_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        observes = self.observes and purpose == "episode"
        return (self._moments, *self._traits) if observes else self._traits

    def _batch_simulator(self, purpose: str) -> BatchSimulator | None:
        """What runs members together, or None if nothing does or members need what only single
        episodes return.
        """
        one_by_one = (
            self.behavior is not None
            or self.columns is not None
            or (self.survival_bonus != 0 and self.summary.statistic != "mean")
            or self._runner(purpose) is not None
        )
        simulator = None if one_by_one else self.simulator()
        return simulator if isinstance(simulator, BatchSimulator) else None

    @property
    def are_members_independent(self) -> bool:
        return self.env_backend != "vectorized"  # a vector draws the starts of all from one seed

    def members_together(self, population_size: int) -> int:
        if self._most_together is None:
            simulator = self._batch_simulator("evaluation")
            self._most_together = 1 if simulator is None else simulator.most_members
        return max(1, min(self._most_together, population_size // _LEAST_CHUNKS))

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        purpose = candidates.episode_purpose
        alone = self._evaluator(purpose)
        if alone is not None:
            return alone.evaluate(candidates, first, rows)
        runner = self._runner(purpose)
        if runner is not None:
            runner.begin_chunk()

        records = new_records(first, len(rows))
        arrays = {spec.name: spec.absent(len(rows)) for spec in self._own_specs(purpose)}
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
            self._run_members(here, records, candidates, rows[here], seeds, arrays)

        if runner is not None:
            arrays |= runner.arrays(candidates, first, len(rows))
        if self._failures:
            raise MembersFailed(records, arrays, self._failures)
        return records, arrays

    def recorded_env(self) -> gymnasium.Env[Any, Any] | None:
        found = (part.recorded_env() for part in self.parts)
        return next((env for env in found if env is not None), None)

    def merge(self, arrays: Mapping[str, Any]) -> None:
        for moments in arrays.get("moments", ()):
            self.statistics.merge(moments)
        for part in self.parts:
            part.merge(arrays)

    def adapt(self, candidates: Candidates, records: NDArray[Any]) -> None:
        """Set the limits of the next generation's episodes by the records of this one. Members that
        were evaluated again do not count.
        """
        if self.limits.cap is None:
            return
        limited = np.array(
            [
                candidates.num_episodes(member) is None
                for member in range(candidates.population_size)
            ]
        )
        if limited.any():
            self.limits.adapt(records["steps"][limited] / records["episodes"][limited])

    def state(self) -> dict[str, NDArray[Any]]:
        """The observation statistics and the limits, for a checkpoint."""
        return {"statistics": self.statistics.pack(), "limits": self.limits.pack()}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Resume with the statistics of `state`."""
        self.statistics = RunningStatistics.empty(self.observations.dim)
        self.statistics.merge(state["statistics"])
        self.limits.unpack(state["limits"])

    def context(self) -> dict[str, NDArray[Any]]:
        mean, inverse_std = self.scaling()
        own: dict[str, NDArray[Any]] = {
            "policy": self._policy_digest,
            "observation_mean": mean,
            "observation_inverse_std": inverse_std,
            "limits": self.limits.pack(),
        }
        for part in self.parts:
            own |= {f"{part.name}/{name}": array for name, array in part.context().items()}
        return own

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        if not np.array_equal(arrays["policy"], self._policy_digest):
            raise UserError(
                f"{self.environment} must have the same spaces on all ranks, got here "
                f"{counted(self.observations.dim, 'observation')} and {self.policy.action.in_words}"
                f", which the master's has not; make its copies the same"
            )
        self.actor.observation_mean = np.array(
            arrays["observation_mean"]
        )  # copies: a mapped array is another type to Numba
        self.actor.observation_inverse_std = np.array(arrays["observation_inverse_std"])
        self.limits.unpack(arrays["limits"])
        for part in self.parts:
            own = f"{part.name}/"
            part.set_context(
                {
                    name.removeprefix(own): array
                    for name, array in arrays.items()
                    if name.startswith(own)
                }
            )

    def _run_members(
        self,
        here: slice,
        all_records: NDArray[Any],
        candidates: Candidates,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        arrays: dict[str, Any],
    ) -> None:
        """Run ``seeds[i]``'s episodes with ``rows[i]`` and fill in the records and arrays of these
        members of the chunk; a failed member leaves no observations behind.
        """
        records = all_records[here]
        moments = arrays.get("moments", np.zeros(0))
        training = candidates.episode_purpose == "episode"
        simulator = self._batch_simulator(candidates.episode_purpose)
        rules = self._rules(candidates)

        returns = np.full(seeds.shape, np.nan)
        if simulator is not None:
            observed = moments.copy()
            try:
                returns, records["steps"] = simulator.run_members(
                    self.actor, rows, seeds, observed, rules.max_steps
                )
                moments[:] = observed
                for i in np.flatnonzero(~np.isfinite(returns).all(axis=1)).tolist():
                    error = NotFiniteError(
                        "the observations and rewards of an episode must be finite, got one that "
                        "is not"
                    )
                    member = int(records["member"][i])
                    self._failed(error, candidates, member, int(seeds[i, 0]))
            except (Exception, SystemExit) as error:  # it does not say which member it was
                for record, own in zip(records, seeds.tolist(), strict=True):
                    self._failed(error, candidates, int(record["member"]), own[0])
        else:
            for i, row in enumerate(rows):
                own_moments = np.zeros(moments.size) if moments.size else None
                self.actor.parameters = np.array(row, np.float32)
                member = int(records["member"][i])
                run = self._run_member(candidates, member, seeds[i], own_moments, rules)
                returns[i] = run.returns
                records["steps"][i] = run.steps
                for name, value in run.arrays.items():
                    arrays[name][here.start + i] = value
                if own_moments is not None and np.isfinite(returns[i]).all():
                    merge_moments(moments, own_moments)

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
            moments: its observations are added; None if they are not needed.
            rules: when episodes end.
        """
        runner = self._runner(candidates.episode_purpose)
        returns = np.zeros(seeds.size)
        behavior: list[NDArray[np.float64]] = []
        columns: list[NDArray[np.float64]] = []
        steps = 0
        for episode, seed in enumerate(seeds.tolist()):
            try:
                if runner is not None:
                    outcome = runner.run(candidates, member, episode, seed, moments)
                else:
                    outcome = self.simulator().run(self.actor, seed, moments, rules.max_steps)
                check_finite(outcome, moments)
                if self.behavior is not None:
                    behavior.append(self.behavior.compute(self._simulator, outcome))
                if self.columns is not None:
                    columns.append(self.columns.read_info(outcome.info))
            except (Exception, SystemExit) as error:
                self._failed(error, candidates, member, seed)
                if runner is not None:
                    runner.end_member(succeeded=False)
                return MemberRun.failed(seeds.size)
            FORKS.end_child()
            if self.progress is not None:
                self.progress()
            returns[episode] = outcome.episode_return - rules.bonus * outcome.num_steps
            steps += outcome.num_steps
        if runner is not None:
            runner.end_member(succeeded=True)
        traits = {"behavior": behavior, ARRAY: columns}
        arrays = {name: np.array(found).mean(axis=0) for name, found in traits.items() if found}
        return MemberRun(returns, steps, arrays)

    def _rules(self, candidates: Candidates) -> EpisodeRules:
        """When episodes end, which the limits decide in training alone."""
        if candidates.episode_purpose != "episode":
            return EpisodeRules(self.max_episode_steps, 0.0)
        cap = min(self.max_episode_steps or UNLIMITED, self.limits.cap or UNLIMITED)
        bonus = (
            0.0 if self.summary.statistic == "mean" else self.survival_bonus
        )  # of the mean it is taken off at once
        return EpisodeRules(None if cap == UNLIMITED else cap, bonus)

    def _failed(self, error: BaseException, candidates: Candidates, member: int, seed: int) -> None:
        """Record a failure. Unless only a number was wrong, close the simulator, which may be in
        any state.
        """
        self._failures.append(failure_of(error, candidates, member, seed))
        if not isinstance(error, NotFiniteError):
            self.close_simulator()

    def warm_up(self) -> None:
        """Compile what an episode uses, by one step of a compiled simulator. What raises here
        raises again in members, where it is counted.
        """
        moments = np.zeros(1 + 2 * self.observations.dim)
        try:
            simulator = self.simulator()
            if isinstance(simulator, GymnasiumSimulator):
                simulator.compile(self.actor, moments)
            else:
                simulator.run(self.actor, 0, moments, max_steps=1)
        except (Exception, SystemExit):
            self.close_simulator()  # it may be in any state


def _digest_of(policy: PolicySpec) -> NDArray[np.uint8]:
    """The same 16 bytes on all ranks whose environments have the same spaces."""
    digest = hashlib.blake2b(repr(policy).encode(), digest_size=16).digest()
    return np.frombuffer(digest, np.uint8)
