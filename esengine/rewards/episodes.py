"""Members, and recorded episodes, judged by a reward source in place of the environment's own
reward.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.demonstrations.trajectories import Trajectory
from esengine.environments.spaces import ActionSpec
from esengine.errors import UserError
from esengine.policies.network import Actor
from esengine.problems import (
    FAILED,
    ArraySpec,
    EnvironmentEpisodes,
    EnvironmentProblem,
    EpisodeRunner,
    Evaluations,
)
from esengine.rewards.sampling import Sampling, Steps
from esengine.rewards.source import RewardSource, over_end
from esengine.seeding import derive_key, generator
from esengine.simulators.traces import Episode, Trace, TraceBuffer


class RewardedEpisodes(EpisodeRunner):
    """The part of a problem whose search members are judged by a reward source. Evaluations return
    the environment's own reward.

    Workers score their own episodes: the source is published with each generation, and one number a
    member comes back. Recorded episodes come back whole, with the environment's rewards, and
    `rewards` scores them. A method that learns the reward sets `source` between generations.

    Args:
        source: judges.
        horizon: steps that every episode counts as, see `source.over_horizon`.
        sampling: which steps members send back, or None for none.
    """

    name = "reward"

    def __init__(
        self, source: RewardSource, horizon: int, sampling: Sampling | None = None
    ) -> None:
        self.source = source
        self.horizon = horizon
        self.samples_steps = sampling is not None
        self.sampling = sampling or Sampling()

    def attach(self, problem: EnvironmentEpisodes) -> None:
        super().attach(problem)
        if problem.env_backend == "vectorized":
            raise UserError(
                "a learned reward must be used with --env-backend auto, compiled or gymnasium, "
                "got vectorized; use auto"
            )
        num_choices = len(problem.policy.action.sizes)
        self._trace = TraceBuffer(self.horizon, problem.observations.dim, num_choices)
        self._returns: list[float] = []  # of the member at hand, the environment's own
        self.begin_chunk()

    @property
    def rows_a_member(self) -> int:
        """Rows that a sampled member sends: its steps, and an absorbing state an episode."""
        episodes = self.problem.episodes_per_member
        return episodes + (self.sampling.steps or episodes * self.horizon)

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        specs = [ArraySpec("true_returns", (2,), "sum")]
        if self.samples_steps:
            width = Steps.width(self.problem.observations.dim, self.problem.policy.action)
            shape = (self.rows_a_member, width)
            specs.append(ArraySpec("steps", shape, members=self.sampling.chosen))
        return tuple(specs)

    def runs(self, purpose: str) -> bool:
        return purpose == "episode"

    def begin_chunk(self) -> None:
        self._true_returns = np.zeros(2)
        self._steps: dict[int, NDArray[np.float64]] = {}

    def run(
        self,
        candidates: Candidates,
        member: int,
        episode: int,
        seed: int,
        moments: NDArray[np.float64] | None,
    ) -> Episode:
        actor = self.problem.actor
        outcome = self.problem.simulator().run(
            actor, seed, moments, self.horizon, trace=self._trace
        )
        trace = self._trace.trace(outcome)
        self._returns.append(trace.episode_return)
        fitness = self.source.fitness(trace, actor, self.horizon)
        if self.samples_steps and self.sampling.takes(member, candidates.population_size):
            self._sample(trace, candidates, member, episode)
        return Episode(fitness if np.isfinite(trace.episode_return) else np.nan, outcome.num_steps)

    def end_member(self, succeeded: bool) -> None:
        if succeeded:
            self._true_returns += (len(self._returns), np.array(self._returns).sum())
        self._returns = []

    def arrays(self, candidates: Candidates, first: int, num_members: int) -> dict[str, Any]:
        arrays: dict[str, Any] = {"true_returns": self._true_returns}
        if self.samples_steps:
            chosen = self.sampling.chosen(candidates.population_size)
            own = chosen[(chosen >= first) & (chosen < first + num_members)].tolist()
            arrays["steps"] = [self._steps.get(member, self._no_steps()) for member in own]
        return arrays

    def context(self) -> Mapping[str, NDArray[Any]]:
        return self.source.arrays()

    def set_context(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.source = self.source.with_arrays(arrays)

    def rewards(self, trajectory: Trajectory, actor: Actor, discount: float) -> NDArray[np.float64]:
        """The source's rewards of a recorded episode, (num_steps,), with what comes after the end
        of the task.

        Args:
            trajectory: the episode.
            actor: who acted.
            discount: a reward that comes k steps later counts discount^k.
        """
        rewards = self.source.steps(trace_of(trajectory, self.problem.policy.action), actor)
        return over_end(
            rewards, trajectory.terminated, self.horizon, self.source.absorbing, discount
        )

    def samples(self, evaluations: Evaluations) -> tuple[NDArray[np.int64], Steps]:
        """The steps that came back of a generation.

        Returns:
            the members that sent some, (num_sampled,), and
            their steps, one after another. Members that failed are left out.
        """
        chosen = self.sampling.chosen(len(evaluations.records))
        rows = evaluations.arrays["steps"]
        whole = np.isfinite(rows[:, 0, 0]) & (evaluations.records["status"][chosen] != FAILED)
        return chosen[whole], self._steps_of(np.concatenate([rows[:0, 0], *rows[whole]]))

    def recorded(self, trajectories: Sequence[Trajectory]) -> Steps:
        """All steps of recorded episodes, one after another; if whole episodes are wanted, those of
        `Sampling.members` of them.
        """
        traces = [trace_of(one, self.problem.policy.action) for one in trajectories]
        if self.sampling.steps == 0:
            traces = [traces[episode] for episode in self.sampling.chosen(len(traces))]
        rows = [Steps.rows(one, np.arange(len(one.choices)), self.horizon) for one in traces]
        return self._steps_of(np.concatenate(rows))

    def _steps_of(self, rows: NDArray[np.float64]) -> Steps:
        """The steps of rows, without those that hold none."""
        return Steps.of_rows(rows, self.problem.observations.dim).known()

    def _no_steps(self) -> NDArray[np.float64]:
        """The rows of a member that has sent nothing."""
        width = Steps.width(self.problem.observations.dim, self.problem.policy.action)
        return np.full((self.rows_a_member, width), np.nan)

    def _sample(self, trace: Trace, candidates: Candidates, member: int, episode: int) -> None:
        """Keep the steps of an episode that its member sends."""
        num_episodes = self.problem.episodes_per_member
        if episode >= num_episodes:
            return  # an elite may run more episodes

        if self.sampling.steps == 0:
            steps = np.arange(len(trace.choices))
            first = episode * (self.horizon + 1)
        else:
            first, stop = (
                self.sampling.steps * end // num_episodes for end in (episode, episode + 1)
            )
            purpose = f"sampled steps of episode {episode}"
            key = derive_key(candidates.seed, purpose, candidates.generation)
            steps = generator(key, member).integers(len(trace.choices), size=stop - first)
            first += episode
        rows = Steps.rows(trace, steps, self.horizon)
        self._steps.setdefault(member, self._no_steps())[first : first + len(rows)] = rows


def true_return(arrays: Mapping[str, Any]) -> float | None:
    """The mean of the environment's own return over a generation's episodes, None if there are
    none.
    """
    episodes, total = arrays["true_returns"].tolist()
    return total / episodes if episodes else None


def rewards_of(
    problem: EnvironmentProblem, trajectory: Trajectory, actor: Actor, discount: float
) -> NDArray[np.float64]:
    """The rewards of a recorded episode, (num_steps,): the source's if the problem has one,
    otherwise the environment's own. See `RewardedEpisodes.rewards`.
    """
    rewarded = problem.find(RewardedEpisodes)
    return trajectory.rewards if rewarded is None else rewarded.rewards(trajectory, actor, discount)


def trace_of(trajectory: Trajectory, action: ActionSpec) -> Trace:
    """A recorded episode in the form that a learned reward takes."""
    choices = trajectory.actions
    if action.kind != "box" and choices.size:
        choices = action.options(trajectory.actions).astype(np.float64)
    observations = trajectory.observations.astype(np.float32)
    return Trace(
        observations, choices, trajectory.rewards, trajectory.episode_return, trajectory.terminated
    )
