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
        """The steps at an index of the first axis."""
        return Steps(*(array[index] for array in self))

    def flat(self) -> Steps:
        """All with one leading axis."""
        axes = self.absorbing.ndim
        parts: list[Any] = [part.reshape(-1, *part.shape[axes:]) for part in self]
        return Steps(*parts)

    def known(self) -> Steps:
        """Those of one leading axis that no cut left empty."""
        return self.at(np.isfinite(self.observations[:, 0]))

    @classmethod
    def joined(cls, parts: list[Steps]) -> Steps:
        """One after another along the first axis."""
        return cls(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    @staticmethod
    def width(observation_dim: int, action: ActionSpec) -> int:
        """Numbers of a step as a row: two observations, the action, and whether either is
        absorbing.
        """
        return 2 * observation_dim + len(action.sizes) + 2

    @staticmethod
    def rows(trace: Trace, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """Chosen steps of an episode as rows, (num_steps, width). Those after the end of the task
        are absorbing, those after a cut NaN.
        """
        length, num_choices = trace.choices.shape
        dim = trace.observations.shape[1]
        rows = np.zeros((steps.size, 2 * dim + num_choices + 2))
        inside = steps < length
        last = trace.terminated & (steps == length - 1)
        here = np.minimum(steps, length - 1)

        rows[:, :dim] = np.where(inside[:, None], trace.observations[here], 0)
        rows[:, dim : 2 * dim] = np.where(
            (inside & ~last)[:, None], trace.observations[here + 1], 0
        )
        rows[:, 2 * dim : -2] = np.where(inside[:, None], trace.choices[here], 0)
        rows[:, -2] = ~inside
        rows[:, -1] = ~inside | last
        if not trace.terminated:
            rows[~inside] = np.nan
        return rows

    @classmethod
    def of_rows(cls, rows: NDArray[np.float64], dim: int) -> Steps:
        """The inverse of `rows`, for observations of ``dim`` numbers."""
        here, there, choices, flags = np.split(rows, [dim, 2 * dim, rows.shape[-1] - 2], axis=-1)
        return cls(
            here.astype(np.float32),
            there.astype(np.float32),
            choices,
            flags[..., 0] == 1,
            flags[..., 1] == 1,
        )


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
