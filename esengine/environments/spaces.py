"""Observation and action spaces as the compiled policies see them: one flat observation, one head
of outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from numpy.typing import NDArray

from esengine.errors import UserError


@dataclass(frozen=True)
class ObservationSpec:
    """How observations become flat float32 vectors.

    Attributes:
        dim: length of the vector.
        direct: whether the observation is an array that only needs ``ravel``; otherwise gymnasium
            flattens it (one-hot for discrete parts).
    """

    dim: int
    direct: bool

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> ObservationSpec:
        """Raises UserError for a space that cannot be flattened to a fixed length."""
        if isinstance(space, spaces.Box):
            return cls(int(np.prod(space.shape)), True)
        try:
            return cls(flatdim(space), False)
        except (NotImplementedError, ValueError) as error:
            raise UserError(
                f"the observation space must flatten to a fixed length, got {space}; wrap the "
                f"environment"
            ) from error

    def flat(
        self, space: spaces.Space[Any], observation: Any, dtype: type[np.floating] = np.float32
    ) -> NDArray[Any]:
        """The observation as (dim,) numbers; trajectories keep them as float64, policies see
        float32.
        """
        if self.direct:
            return np.asarray(observation, dtype).ravel()
        return np.asarray(flatten(space, observation), dtype)


@dataclass(frozen=True)
class ActionSpec:
    """The head of a policy: what its outputs mean.

    Attributes:
        kind: ``"box"``, ``"discrete"``, ``"multi-discrete"`` or ``"multi-binary"``.
        sizes: number of outputs of each choice: (dim,) ones for a box and multi-binary, else the
            choices' sizes.
        low, high: bounds of a box, infinite where unbounded; empty otherwise.
        shape: the action's shape as the environment wants it.
        starts: smallest value of each discrete choice.
        dtype: the action's dtype.
    """

    kind: str
    sizes: tuple[int, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    shape: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    dtype: str = "float32"

    @property
    def num_outputs(self) -> int:
        return sum(self.sizes)

    def batch(self, decoded: NDArray[np.float64]) -> NDArray[Any]:
        """Actions as a vector environment takes them, from (num_lanes, num_choices) of what the
        kernel `act` writes.
        """
        values = (decoded if self.dtype.startswith("float") else np.rint(decoded)).astype(
            self.dtype
        )
        if self.starts:
            values += np.array(self.starts, values.dtype)
        return values[:, 0] if self.kind == "discrete" else values.reshape(len(values), *self.shape)

    def flat(self, action: Any) -> NDArray[np.float64]:
        """An action as the environment takes it as (num_choices,) float64, which holds every number
        of it exactly.

        Raises:
            ValueError: it has another number of values.
        """
        values = np.asarray(action, np.float64).ravel()
        if values.size != len(self.sizes):
            raise ValueError(f"an action must have {len(self.sizes)} numbers, got {values.size}")
        return values

    def unflat(self, values: NDArray[np.float64]) -> Any:
        """The inverse of `flat`: an int for a discrete space, else an array of the action's shape
        and dtype.
        """
        if self.kind == "discrete":
            return round(float(values[0]))
        return (
            (values if self.dtype.startswith("float") else np.rint(values))
            .astype(self.dtype)
            .reshape(self.shape)
        )

    def reach(self) -> NDArray[np.float64]:
        """Half the range of every box coordinate, 1 where it is unbounded, (num_choices,): the unit
        of policies' outputs.
        """
        low, high = np.array(self.low), np.array(self.high)
        bounded = np.isfinite(low) & np.isfinite(high)
        return np.where(bounded, np.where(bounded, high, 1) - np.where(bounded, low, -1), 2) / 2

    def center(self) -> NDArray[np.float64]:
        """Middle of the range of every box coordinate, 0 where it is unbounded, (num_choices,)."""
        low, high = np.array(self.low), np.array(self.high)
        bounded = np.isfinite(low) & np.isfinite(high)
        return (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2

    @property
    def num_options(self) -> tuple[int, ...]:
        """Options of each discrete choice."""
        return (2,) * len(self.sizes) if self.kind == "multi-binary" else self.sizes

    def options(self, actions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Options counted from 0 of discrete actions, (num_actions, num_choices)."""
        first = np.array(self.starts or (0,) * len(self.sizes))
        options: NDArray[np.int64] = np.rint(actions).astype(np.int64) - first
        return options

    def from_options(self, options: NDArray[np.int64]) -> NDArray[np.float64]:
        """The inverse of `options`."""
        return np.asarray(options + np.array(self.starts or (0,) * len(self.sizes)), np.float64)

    def tables(self, flat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """One (options, options) table for each discrete choice, from all of them row by row in one
        vector.
        """
        ends = np.cumsum([options**2 for options in self.num_options])
        parts = np.split(flat, ends[:-1])
        return [
            part.reshape(options, options)
            for part, options in zip(parts, self.num_options, strict=True)
        ]

    def misfit(self, actions: NDArray[np.float64]) -> str | None:
        """Why some of these actions, (num_actions, num_choices), are none of this space, or
        None.
        """
        if self.kind == "box":
            low, high = np.array(self.low), np.array(self.high)
            slack = 1e-6 * np.maximum(
                1.0, np.maximum(abs(low), abs(high))
            )  # files may hold another precision
            slack[~np.isfinite(slack)] = 0
            rule = "within the bounds"
        else:
            low = np.array(self.starts or (0,) * len(self.sizes), np.float64)
            high = low + (1 if self.kind == "multi-binary" else np.array(self.sizes) - 1)
            slack = np.zeros(low.size)
            rule = "whole numbers within"
            if (broken := np.argwhere(actions != np.rint(actions))).size:
                step, choice = broken[0]
                return (
                    f"must be {rule} {low[choice]:g} .. {high[choice]:g}, got "
                    f"{actions[step, choice]:g} at step {step}"
                )
        outside = np.argwhere((actions < low - slack) | (actions > high + slack))
        if outside.size:
            step, choice = outside[0]
            return (
                f"must be {rule} {low[choice]:g} .. {high[choice]:g}, got "
                f"{actions[step, choice]:g} at step {step}"
            )
        return None

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> ActionSpec:
        """Raises UserError for a space that policies cannot act in."""
        match space:
            case spaces.Box():
                low, high = (
                    tuple(bound.ravel().astype(float).tolist()) for bound in (space.low, space.high)
                )
                return cls("box", (1,) * len(low), low, high, space.shape, (), str(space.dtype))
            case spaces.Discrete():
                return cls(
                    "discrete", (int(space.n),), shape=(), starts=(int(space.start),), dtype="int64"
                )
            case spaces.MultiDiscrete():
                sizes = tuple(int(size) for size in space.nvec.ravel())
                starts = tuple(int(start) for start in np.asarray(space.start).ravel())
                return cls(
                    "multi-discrete",
                    sizes,
                    shape=space.shape,
                    starts=starts,
                    dtype=str(space.dtype),
                )
            case spaces.MultiBinary():
                return cls(
                    "multi-binary",
                    (1,) * int(np.prod(space.shape)),
                    shape=space.shape,
                    dtype=str(space.dtype),
                )
        raise UserError(
            f"the action space must be Box, Discrete, MultiDiscrete or MultiBinary, got {space}; "
            f"wrap the environment"
        )


def describe(env: gymnasium.Env[Any, Any]) -> tuple[ObservationSpec, ActionSpec]:
    """Specifications of an environment's spaces."""
    return ObservationSpec.of(env.observation_space), ActionSpec.of(env.action_space)
