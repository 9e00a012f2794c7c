"""Members, and recorded episodes, paid by a reward source instead of the environment's own reward, which is told beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.faults import MembersFailed
from esengine.normalizer import merge_moments
from esengine.policies import Actor
from esengine.problems import FAILED, OK
from esengine.recording import RecordingProblem
from esengine.reward_sources import RewardSource, over_end
from esengine.traces import Trace, Tracer, make_tracer
from esengine.trajectories import Trajectory

_TALLY = 2  # numbers that a chunk adds to its moments: episodes, and the sum of their true returns


@dataclass
class RewardedProblem(RecordingProblem):
    """An environment whose search members are judged by a reward source; evaluations tell the environment's own.

    Workers score their own episodes: the source is published with each generation, and one number a member comes back.
    Recorded episodes come back whole, with the environment's rewards, and `rewards` pays them. Whoever learns the reward sets
    `source` between generations.

    Args:
        source: judges.
        horizon: steps that every episode counts as, see `reward_sources.over_horizon`.
    """

    source: RewardSource = field(kw_only=True)
    horizon: int = field(kw_only=True)
    _tracer: Tracer | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tally = np.zeros(_TALLY)
        self._of_generation = np.zeros(_TALLY)

    @property
    def num_statistics(self) -> int:
        return self.num_moments + _TALLY

    def evaluate(
        self, candidates: Candidates, first: int, rows: NDArray[np.floating]
    ) -> tuple[NDArray[Any], NDArray[np.float64]]:
        self._tally[:] = 0
        try:
            records, moments = super().evaluate(candidates, first, rows)
        except MembersFailed as failed:
            statistics = self._with_more(candidates, first, len(rows), failed.statistics)
            raise MembersFailed(failed.records, statistics, failed.failures) from failed
        return records, self._with_more(candidates, first, len(rows), moments)

    def merge(self, statistics: NDArray[np.float64]) -> None:
        if statistics.size:
            super().merge(statistics)
            self._of_generation += statistics[self.num_moments : self.num_moments + _TALLY]

    def take_return(self) -> float | None:
        """The mean of the environment's own return over the episodes merged since the last call, None if there are none."""
        episodes, total = self._of_generation.tolist()
        self._of_generation[:] = 0
        return total / episodes if episodes else None

    def rewards(self, trajectory: Trajectory, actor: Actor, discount: float) -> NDArray[np.float64]:
        """As the source pays, with what comes after the end of the task."""
        rewards = self.source.steps(Trace.of(trajectory, self.policy.action), actor)
        return over_end(rewards, trajectory.terminated, self.horizon, self.source.absorbing, discount)

    def context(self) -> dict[str, NDArray[Any]]:
        return super().context() | {f"reward/{name}": array for name, array in self.source.arrays().items()}

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().set_context(arrays)
        self.source = self.source.with_arrays({name: arrays[f"reward/{name}"] for name in self.source.arrays()})

    def _run_members(
        self,
        records: NDArray[Any],
        candidates: Candidates,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        traits: NDArray[np.float64],
    ) -> None:
        if candidates.episode_purpose != "episode":
            super()._run_members(records, candidates, rows, seeds, statistics, traits)
            return
        for record, row, own in zip(records, rows, seeds.tolist(), strict=True):
            moments, fitness = np.zeros(statistics.size), np.zeros(len(own))
            returns = np.zeros(len(own))
            self.actor.parameters = np.array(row, np.float32)
            for episode, seed in enumerate(own):
                try:
                    trace = self._trace().run(self.actor, seed, moments)
                except (Exception, SystemExit) as error:
                    self._failed(error, candidates, int(record["member"]), seed)
                    self._tracer, fitness[:] = None, np.nan
                    break
                fitness[episode] = self.source.fitness(trace, self.actor, self.horizon)
                returns[episode] = trace.episode_return
                record["steps"] += len(trace.choices)
                self._take(trace, candidates, int(record["member"]), episode)
            record["fitness"] = self.summary(fitness[None])[0]
            if np.isfinite(fitness).all() and np.isfinite(returns).all():
                self._tally += (returns.size, returns.sum())
                if statistics.size:
                    merge_moments(statistics, moments)
            else:
                record["fitness"] = np.nan
        if self.anchor is not None:
            records["fitness"] -= self.anchor.penalties(rows, candidates.generation)
        records["status"] = np.where(np.isfinite(records["fitness"]), OK, FAILED)

    def _take(self, trace: Trace, candidates: Candidates, member: int, episode: int) -> None:
        """Look at an episode of a search member; its arrays are overwritten by the next one."""

    def _with_more(
        self, candidates: Candidates, first: int, num_members: int, moments: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The statistics of a chunk of search members: its observation moments, then the tally."""
        return np.concatenate([moments, self._tally]) if candidates.episode_purpose == "episode" else moments

    def _trace(self) -> Tracer:
        """The rank's tracer, made when it is first needed, or anew for every episode with ``fresh_env``."""
        if self._tracer is None or self.fresh_env:
            if self._tracer is not None:
                self._tracer.close()
            of_policy = (self.observations, self.policy.action, self.shield)
            self._tracer = make_tracer(self.environment, *of_policy, self.env_backend, self.horizon)
        return self._tracer
