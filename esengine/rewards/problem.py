"""Members, and recorded episodes, paid by a reward source instead of the environment's own reward,
which is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.demonstrations.recording import RecordingProblem
from esengine.demonstrations.trajectories import Trajectory
from esengine.environments.spaces import ActionSpec
from esengine.errors import UserError
from esengine.policies.network import Actor
from esengine.problems import ArraySpec
from esengine.problems.contract import Evaluated
from esengine.problems.environment import EpisodeRules, MemberRun
from esengine.problems.failures import MembersFailed
from esengine.rewards.source import RewardSource, over_end
from esengine.simulators.contract import BatchSimulator
from esengine.simulators.traces import Trace, TraceBuffer


@dataclass
class RewardedProblem(RecordingProblem):
    """An environment whose search members are judged by a reward source; evaluations tell the
    environment's own.

    Workers score their own episodes: the source is published with each generation, and one number a
    member comes back. Recorded episodes come back whole, with the environment's rewards, and
    `rewards` pays them. Whoever learns the reward sets `source` between generations.

    Args:
        source: judges.
        horizon: steps that every episode counts as, see `reward_sources.over_horizon`.
    """

    source: RewardSource = field(kw_only=True)
    horizon: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.env_backend == "vectorized":
            raise UserError(
                "a learned reward must be used with --env-backend auto, compiled or gymnasium, "
                "got vectorized; use auto"
            )
        choices = len(self.policy.action.sizes)
        self._steps = TraceBuffer(self.horizon, self.observations.dim, choices)
        self._true_returns = np.zeros(2)
        self._of_generation = np.zeros(2)

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        specs = super().array_specs(purpose)
        if purpose != "episode":
            return specs
        return (*specs, ArraySpec("true_returns", (2,), "sum"))

    def evaluate(self, candidates: Candidates, first: int, rows: NDArray[np.floating]) -> Evaluated:
        self._true_returns[:] = 0
        try:
            records, arrays = super().evaluate(candidates, first, rows)
        except MembersFailed as failed:
            arrays = {**failed.arrays, **self._more(candidates, first, len(rows))}
            raise MembersFailed(failed.records, arrays, failed.failures) from failed
        return records, arrays | self._more(candidates, first, len(rows))

    def merge(self, arrays: Mapping[str, Any]) -> None:
        super().merge(arrays)
        if "true_returns" in arrays:
            self._of_generation += arrays["true_returns"]

    def take_return(self) -> float | None:
        """The mean of the environment's own return over the episodes merged since the last call,
        None if there are none.
        """
        episodes, total = self._of_generation.tolist()
        self._of_generation[:] = 0
        return total / episodes if episodes else None

    def rewards(self, trajectory: Trajectory, actor: Actor, discount: float) -> NDArray[np.float64]:
        """As the source pays, with what comes after the end of the task."""
        rewards = self.source.steps(trace_of(trajectory, self.policy.action), actor)
        return over_end(
            rewards, trajectory.terminated, self.horizon, self.source.absorbing, discount
        )

    def context(self) -> dict[str, NDArray[Any]]:
        return super().context() | {
            f"reward/{name}": array for name, array in self.source.arrays().items()
        }

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        super().set_context(arrays)
        self.source = self.source.with_arrays(
            {name: arrays[f"reward/{name}"] for name in self.source.arrays()}
        )

    def _batch_simulator(self, training: bool) -> BatchSimulator | None:
        return (
            None if training else super()._batch_simulator(training)
        )  # the source judges what single episodes met

    def _run_member(
        self,
        candidates: Candidates,
        member: int,
        seeds: NDArray[np.uint64],
        moments: NDArray[np.float64] | None,
        rules: EpisodeRules,
    ) -> MemberRun:
        if candidates.episode_purpose != "episode":
            return super()._run_member(candidates, member, seeds, moments, rules)
        fitness, returns, steps = np.zeros(seeds.size), np.zeros(seeds.size), 0
        for episode, seed in enumerate(seeds.tolist()):
            try:
                outcome = self.simulator().run(
                    self.actor, seed, moments, self.horizon, trace=self._steps
                )
            except (Exception, SystemExit) as error:
                self._failed(error, candidates, member, seed)
                return MemberRun.failed(seeds.size)
            trace = self._steps.trace(outcome)
            fitness[episode] = self.source.fitness(trace, self.actor, self.horizon)
            returns[episode] = trace.episode_return
            steps += len(trace.choices)
            self._take(trace, candidates, member, episode)
        if not np.isfinite([fitness, returns]).all():
            return MemberRun.failed(seeds.size)
        self._true_returns += (returns.size, returns.sum())
        return MemberRun(fitness, steps, False, {})

    def _take(self, trace: Trace, candidates: Candidates, member: int, episode: int) -> None:
        """Look at an episode of a search member; its arrays are overwritten by the next one."""

    def _more(self, candidates: Candidates, first: int, num_members: int) -> dict[str, Any]:
        """The arrays of a chunk of search members beside those of other problems."""
        training = candidates.episode_purpose == "episode"
        return {"true_returns": self._true_returns.copy()} if training else {}


def trace_of(trajectory: Trajectory, action: ActionSpec) -> Trace:
    """What a learned reward sees of a recorded episode."""
    choices = trajectory.actions
    if action.kind != "box":
        choices = action.options(trajectory.actions).astype(np.float64)
    observations = trajectory.observations.astype(np.float32)
    return Trace(
        observations, choices, trajectory.rewards, trajectory.episode_return, trajectory.terminated
    )
