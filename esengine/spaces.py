"""Observation and action spaces as the compiled policies see them: one flat observation, one head of outputs."""

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
        direct: whether the observation is an array that only needs ``ravel``; otherwise gymnasium flattens it
            (one-hot for discrete parts).
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
                f"the observation space must flatten to a fixed length, got {space}; wrap the environment"
            ) from error

    def flat(self, space: spaces.Space[Any], observation: Any) -> NDArray[np.float32]:
        """The observation as (dim,) float32."""
        if self.direct:
            return np.asarray(observation, np.float32).ravel()
        return np.asarray(flatten(space, observation), np.float32)


@dataclass(frozen=True)
class ActionSpec:
    """The head of a policy: what its outputs mean.

    Attributes:
        kind: ``"box"``, ``"discrete"``, ``"multi-discrete"`` or ``"multi-binary"``.
        sizes: number of outputs of each choice: (dim,) ones for a box and multi-binary, else the choices' sizes.
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
        """Actions as a vector environment takes them, from (num_lanes, num_choices) of what the kernel `act` writes."""
        values = (decoded if self.dtype.startswith("float") else np.rint(decoded)).astype(self.dtype)
        if self.starts:
            values += np.array(self.starts, values.dtype)
        return values[:, 0] if self.kind == "discrete" else values.reshape(len(values), *self.shape)

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> ActionSpec:
        """Raises UserError for a space that policies cannot act in."""
        match space:
            case spaces.Box():
                low, high = (tuple(bound.ravel().astype(float).tolist()) for bound in (space.low, space.high))
                return cls("box", (1,) * len(low), low, high, space.shape, (), str(space.dtype))
            case spaces.Discrete():
                return cls("discrete", (int(space.n),), shape=(), starts=(int(space.start),), dtype="int64")
            case spaces.MultiDiscrete():
                sizes = tuple(int(size) for size in space.nvec.ravel())
                starts = tuple(int(start) for start in np.asarray(space.start).ravel())
                return cls("multi-discrete", sizes, shape=space.shape, starts=starts, dtype=str(space.dtype))
            case spaces.MultiBinary():
                return cls("multi-binary", (1,) * int(np.prod(space.shape)), shape=space.shape, dtype=str(space.dtype))
        raise UserError(
            f"the action space must be Box, Discrete, MultiDiscrete or MultiBinary, got {space}; wrap the environment"
        )


def describe(env: gymnasium.Env[Any, Any]) -> tuple[ObservationSpec, ActionSpec]:
    """Specifications of an environment's spaces."""
    return ObservationSpec.of(env.observation_space), ActionSpec.of(env.action_space)
