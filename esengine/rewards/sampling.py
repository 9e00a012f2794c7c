"""Steps that members met, or that recorded episodes hold, for whoever learns a reward from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.demonstrations.trajectories import Trajectory
from esengine.problems import FAILED, ArraySpec
from esengine.problems.evaluations import Evaluations
from esengine.rewards.problem import RewardedProblem, trace_of
from esengine.seeding import derive_key, generator
from esengine.simulators.traces import Trace


class Steps(NamedTuple):
    """Transitions, in any number of leading axes.

    Attributes:
        observations, next_observations: (..., obs_dim) float32, 0 where absorbing.
        choices: (..., num_choices) float64, discrete ones from 0, 0 where absorbing.
        absorbing, next_absorbing: (...,) bool, whether the task had ended before, or by, the step.
    """

    observations: NDArray[np.float32]
    next_observations: NDArray[np.float32]
    choices: NDArray[np.float64]
    absorbing: NDArray[np.bool_]
    next_absorbing: NDArray[np.bool_]

    @property
    def num_steps(self) -> int:
        """Length of the first axis."""
        return len(self.absorbing)

    def at(self, index: NDArray[np.generic]) -> Steps:
        """Some of them, by an index of the first axis."""
        return Steps(*(array[index] for array in self))

    def flat(self) -> Steps:
        """All with one leading axis, without those that a cut left empty."""
        here, there = (
            part.reshape(-1, part.shape[-1]) for part in (self.observations, self.next_observations)
        )
        choices = self.choices.reshape(-1, self.choices.shape[-1])
        rows = Steps(here, there, choices, self.absorbing.ravel(), self.next_absorbing.ravel())
        return rows.at(np.isfinite(rows.observations[:, 0]))

    @classmethod
    def joined(cls, parts: list[Steps]) -> Steps:
        """One after another along the first axis."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True)
class Sampling:
    """Which steps come back.

    Attributes:
        members: of a generation that send steps, spread evenly over it; 0 takes all.
        steps: of each of those, drawn over the whole horizon of its episodes, absorbing states
            included; 0 sends them all.
    """

    members: int = 0
    steps: int = 32

    def chosen(self, population_size: int) -> NDArray[np.int64]:
        """The members that send steps, in order."""
        count = min(self.members or population_size, population_size)
        return np.arange(count) * population_size // count

    def takes(self, member: int, population_size: int) -> bool:
        """Whether a member is among the `chosen`."""
        count = min(self.members or population_size, population_size)
        return -(-member * count // population_size) * population_size // count == member


@dataclass
class SamplingProblem(RewardedProblem):
    """An environment whose search members are judged by a reward source and send back a part of
    their steps.

    Args:
        sampling: which.
    """

    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._samples: dict[int, NDArray[np.float64]] = {}

    @property
    def rows_a_member(self) -> int:
        """Steps that a sampled member sends."""
        return self.sampling.steps or self.episodes_per_member * self.horizon

    @property
    def width(self) -> int:
        """Numbers of a step: two observations, the action, and whether either is absorbing."""
        return 2 * self.observations.dim + len(self.policy.action.sizes) + 2

    def array_specs(self, purpose: str) -> tuple[ArraySpec, ...]:
        specs = super().array_specs(purpose)
        if purpose != "episode":
            return specs
        shape = (self.rows_a_member, self.width)
        return (*specs, ArraySpec("steps", shape, members=self.sampling.chosen))

    def samples(self, evaluations: Evaluations) -> tuple[NDArray[np.int64], Steps]:
        """What came back of a generation.

        Returns:
            the members that sent something, (num_sampled,), and their steps, (num_sampled,
            `rows_a_member`). Members that failed are left out; of whole episodes the steps after a
            cut are marked by NaN observations.
        """
        chosen = self.sampling.chosen(len(evaluations.records))
        rows = evaluations.arrays["steps"]
        whole = np.isfinite(rows[:, 0, 0]) & (evaluations.records["status"][chosen] != FAILED)
        return chosen[whole], self._unpack(rows[whole])

    def recorded(self, trajectories: Sequence[Trajectory], generation: int) -> Steps:
        """Steps of the recorded episodes of one policy, (num_episodes, num_steps).

        As many as were recorded, drawn over the whole horizon, the same number of each episode and
        none twice: all of them where all episodes last as long as the horizon. If whole episodes
        are wanted, those of `Sampling.members` of them.
        """
        traces = [trace_of(one, self.policy.action) for one in trajectories]
        if self.sampling.steps == 0:
            chosen, every = self.sampling.chosen(len(traces)).tolist(), np.arange(self.horizon)
            return self._unpack(
                np.array([_rows(traces[episode], every, self.width) for episode in chosen])
            )
        size = min(self.horizon, -(-sum(len(trace.choices) for trace in traces) // len(traces)))
        key = derive_key(self.seed, "steps of recorded episodes", generation)
        rows = []
        for episode, trace in enumerate(traces):
            steps = generator(key, episode).permutation(self.horizon)[:size]
            rows.append(
                _rows(trace, steps if trace.terminated else steps % len(trace.choices), self.width)
            )
        return self._unpack(np.array(rows))

    def _unpack(self, rows: NDArray[np.float64]) -> Steps:
        dim = self.observations.dim
        here, there, choices, flags = np.split(rows, [dim, 2 * dim, rows.shape[-1] - 2], axis=-1)
        return Steps(
            here.astype(np.float32),
            there.astype(np.float32),
            choices,
            flags[..., 0] == 1,
            flags[..., 1] == 1,
        )

    def _take(self, trace: Trace, candidates: Candidates, member: int, episode: int) -> None:
        if not self.sampling.takes(member, candidates.population_size):
            return
        num_episodes = candidates.num_episodes(member) or self.episodes_per_member
        if self.sampling.steps == 0:
            num_episodes = self.episodes_per_member  # more of them, as elites run, are not sent
            if episode >= num_episodes:
                return
            steps, part = (
                np.arange(self.horizon),
                slice(episode * self.horizon, (episode + 1) * self.horizon),
            )
        else:
            first, stop = (
                self.sampling.steps * end // num_episodes for end in (episode, episode + 1)
            )
            key = derive_key(
                candidates.seed, f"sampled steps of episode {episode}", candidates.generation
            )
            steps, part = (
                generator(key, member).integers(self.horizon, size=stop - first),
                slice(first, stop),
            )
            if not trace.terminated:
                steps %= len(trace.choices)
        room = self._samples.setdefault(member, np.full((self.rows_a_member, self.width), np.nan))
        room[part] = _rows(trace, steps, self.width)

    def _more(self, candidates: Candidates, first: int, num_members: int) -> dict[str, Any]:
        kept, self._samples = self._samples, {}
        if candidates.episode_purpose != "episode":
            return {}
        chosen = self.sampling.chosen(candidates.population_size)
        empty = np.full((self.rows_a_member, self.width), np.nan)
        own = chosen[(chosen >= first) & (chosen < first + num_members)].tolist()
        steps = np.array([kept.get(member, empty) for member in own])
        return super()._more(candidates, first, num_members) | {"steps": steps}


def _rows(trace: Trace, steps: NDArray[np.int64], width: int) -> NDArray[np.float64]:
    """Chosen steps of an episode, (num_steps, width); those after the end of the task are
    absorbing, after a cut NaN.
    """
    length, dim = len(trace.choices), trace.observations.shape[1]
    rows = np.zeros((steps.size, width))
    inside, last = steps < length, trace.terminated & (steps == length - 1)
    here = np.minimum(steps, length - 1)
    rows[:, :dim] = np.where(inside[:, None], trace.observations[here], 0)
    rows[:, dim : 2 * dim] = np.where((inside & ~last)[:, None], trace.observations[here + 1], 0)
    rows[:, 2 * dim : -2] = np.where(inside[:, None], trace.choices[here], 0)
    rows[:, -2], rows[:, -1] = ~inside, ~inside | last
    if not trace.terminated:
        rows[~inside] = np.nan
    return rows
