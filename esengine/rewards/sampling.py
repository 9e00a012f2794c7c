"""Steps that members met, or that recorded episodes hold, for methods that learn a reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.environments.spaces import ActionSpec
from esengine.simulators.traces import Trace


class Steps(NamedTuple):
    """Transitions, in any number of leading axes.

    An episode that ended before the horizon stays in the absorbing state. All its steps there are
    one row, which weighs as many.

    Attributes:
        observations, next_observations: (..., obs_dim) float32, 0 in rows of the absorbing state.
        choices: (..., num_choices) float64, discrete ones from 0, 0 where absorbing.
        absorbing, next_absorbing: (...,) bool, whether the task had ended before, or by, the step.
        weights: (...,) float64, the number of steps that the row stands for.
        begins: (...,) bool, whether the row is the first of a whole episode.
    """

    observations: NDArray[np.float32]
    next_observations: NDArray[np.float32]
    choices: NDArray[np.float64]
    absorbing: NDArray[np.bool_]
    next_absorbing: NDArray[np.bool_]
    weights: NDArray[np.float64]
    begins: NDArray[np.bool_]

    @property
    def num_rows(self) -> int:
        """Length of the first axis."""
        return len(self.absorbing)

    @property
    def episodes(self) -> NDArray[np.int64]:
        """The number of each row's episode, (num_rows,), for whole episodes along one axis."""
        return np.cumsum(self.begins) - 1

    def at(self, index: NDArray[np.generic]) -> Steps:
        """The steps at an index of the first axis."""
        return Steps(*(array[index] for array in self))

    def flat(self) -> Steps:
        """All with one leading axis."""
        axes = self.absorbing.ndim
        parts: list[Any] = [part.reshape(-1, *part.shape[axes:]) for part in self]
        return Steps(*parts)

    def known(self) -> Steps:
        """The rows of one leading axis that hold a step."""
        return self.at(np.isfinite(self.observations[:, 0]))

    @classmethod
    def joined(cls, parts: list[Steps]) -> Steps:
        """One after another along the first axis."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @staticmethod
    def width(observation_dim: int, action: ActionSpec) -> int:
        """Numbers of a step as a row: two observations, the action, whether either is absorbing,
        the weight, and whether an episode begins.
        """
        return 2 * observation_dim + len(action.sizes) + 4

    @staticmethod
    def rows(trace: Trace, steps: NDArray[np.int64], horizon: int) -> NDArray[np.float64]:
        """Chosen steps of an episode as rows, (num_steps + 1, width).

        The last row is the absorbing state, or NaN where the task did not end before the horizon.
        The weights of an episode add up to the horizon: what lies after a cut is taken to be as the
        steps before it.

        Args:
            trace: the episode.
            steps: (num_steps,) below the episode's length.
            horizon: steps that every episode counts as.
        """
        length, num_choices = trace.choices.shape
        dim = trace.observations.shape[1]
        ended = trace.terminated and length < horizon
        last = trace.terminated & (steps == length - 1)

        rows = np.zeros((steps.size + 1, 2 * dim + num_choices + 4))
        acted = rows[:-1]
        acted[:, :dim] = trace.observations[steps]
        acted[:, dim : 2 * dim] = trace.observations[steps + 1]
        acted[:, 2 * dim : -4] = trace.choices[steps]
        acted[:, -3] = last
        acted[:, -2] = (length if ended else horizon) / max(1, steps.size)
        acted[:1, -1] = 1

        rows[-1, -4:-1] = 1, 1, horizon - length
        if not ended:
            rows[-1] = np.nan
        return rows

    @classmethod
    def of_rows(cls, rows: NDArray[np.float64], dim: int) -> Steps:
        """The inverse of `rows`, for observations of ``dim`` numbers."""
        here, there, choices, rest = np.split(rows, [dim, 2 * dim, rows.shape[-1] - 4], axis=-1)
        return cls(
            here.astype(np.float32),
            there.astype(np.float32),
            choices,
            rest[..., 0] == 1,
            rest[..., 1] == 1,
            rest[..., 2],
            rest[..., 3] == 1,
        )


@dataclass(frozen=True)
class Sampling:
    """Which steps come back.

    Attributes:
        members: of a generation that send steps, spread evenly over it; 0 takes all.
        steps: of each of those, drawn from its episodes; 0 sends whole episodes. The absorbing
            state of an episode is sent besides.
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
