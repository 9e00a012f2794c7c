"""Observation and action spaces as the compiled policies see them: one flat observation, one head
of outputs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten
from numpy.typing import NDArray

from esengine.errors import UserError, counted, listed

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def _is_fixed(space: spaces.Space[Any]) -> bool:
    """Whether a space can be flattened to a fixed length."""
    try:
        flatdim(space)
    except (NotImplementedError, ValueError):
        return False
    return True


def _variable_parts(space: spaces.Space[Any]) -> str:
    """What of a space cannot be flattened, and the way out."""
    if isinstance(space, spaces.Dict):
        kept = [name for name, part in space.items() if _is_fixed(part)]
        left = [f"{type(space[name]).__name__} as {name}" for name in space if name not in kept]
        if kept:
            keys = json.dumps({"filter_keys": kept})
            return f"{listed(left)}; leave it out by --env-wrapper 'FilterObservation={keys}'"
    return f"{_ADDRESS.sub('', str(space))}; wrap the environment"


@dataclass(frozen=True)
class ObservationSpec:
    """How observations become flat float32 vectors.

    Attributes:
        dim: length of the vector.
        direct: whether the observation is an array that only needs ``ravel``; otherwise gymnasium
            flattens it (one-hot for discrete parts).
        shape: of the array, or (dim,) of what gymnasium flattens.
    """

    dim: int
    direct: bool
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", self.shape or (self.dim,))

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> ObservationSpec:
        """The specification of a space. Raises UserError for one that cannot be flattened to a
        fixed length.
        """
        if isinstance(space, spaces.Box):
            return cls(int(np.prod(space.shape)), True, space.shape)
        if not _is_fixed(space):
            got = _variable_parts(space)
            raise UserError(f"the observation space must flatten to a fixed length, got {got}")
        return cls(flatdim(space), False)

    def flat(
        self, space: spaces.Space[Any], observation: Any, dtype: type[np.floating] = np.float32
    ) -> NDArray[Any]:
        """The observation as (dim,) numbers; trajectories keep them as float64, policies see
        float32.

        They are a new array, since an environment may write its next observation into this one.

        Raises:
            ValueError: it has another number of them. Whatever conversions raise, too.
        """
        plain = observation if self.direct else flatten(space, observation)
        flat = np.array(plain, dtype).ravel()
        if flat.size != self.dim:
            raise ValueError(
                f"an observation must have {self.dim} numbers as {space} declares, got {flat.size}"
            )
        return flat


@dataclass(frozen=True)
class ActionSpec:
    """The head of a policy: what its outputs mean.

    Attributes:
        kind: ``"box"``, ``"discrete"``, ``"multi-discrete"`` or ``"multi-binary"``.
        sizes: number of outputs of each choice: (dim,) ones for a box and multi-binary, else the
            choices' sizes.
        low, high: bounds of a box, infinite where unbounded; empty otherwise.
        shape: the action's shape in the environment's own form.
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
    def in_words(self) -> str:
        """The space for messages, such as ``3 discrete actions``."""
        count = len(self.sizes)
        match self.kind:
            case "discrete":
                return counted(self.sizes[0], "discrete action")
            case "multi-discrete":
                return f"actions of {listed(self.sizes)} options"
            case "multi-binary":
                return f"actions of {counted(count, 'binary choice')}"
        low, high = min(self.low, default=0.0), max(self.high, default=0.0)
        return f"actions of {counted(count, 'number')} within {low:g} .. {high:g}"

    @property
    def num_outputs(self) -> int:
        """How many outputs a policy has."""
        return sum(self.sizes)

    def batch(self, decoded: NDArray[np.float64]) -> NDArray[Any]:
        """Actions as a vector environment takes them.

        Args:
            decoded: (num_lanes, num_choices), as the kernel `act` writes them.
        """
        values = self._cast(decoded)
        if self.starts:
            values += np.array(self.starts, values.dtype)
        return values[:, 0] if self.kind == "discrete" else values.reshape(len(values), *self.shape)

    def _cast(self, values: NDArray[np.float64]) -> NDArray[Any]:
        """Numbers in the action's dtype, rounded where that holds whole numbers."""
        return (values if self.dtype.startswith("float") else np.rint(values)).astype(self.dtype)

    def flat(self, action: Any) -> NDArray[np.float64]:
        """The numbers of an action in the environment's own form, a new (num_choices,) float64
        array, exactly.

        Raises:
            ValueError: the action has another number of values.
        """
        values = np.array(action, np.float64).ravel()
        if values.size != len(self.sizes):
            raise ValueError(f"an action must have {len(self.sizes)} numbers, got {values.size}")
        return values

    def unflat(self, values: NDArray[np.float64]) -> Any:
        """The inverse of `flat`: an int for a discrete space, else an array of the action's shape
        and dtype.
        """
        if self.kind == "discrete":
            return round(float(values[0]))
        return self._cast(values).reshape(self.shape)

    def reach(self) -> NDArray[np.float64]:
        """Half the range of every box coordinate, 1 where it is unbounded, (num_choices,): the unit
        of policies' outputs.
        """
        low, high, bounded = self._bounds()
        return np.where(bounded, high - low, 2.0) / 2

    def center(self) -> NDArray[np.float64]:
        """Middle of the range of every box coordinate, 0 where it is unbounded, (num_choices,)."""
        low, high, _ = self._bounds()
        return (low + high) / 2

    def _bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Lower and upper bound of every box coordinate, 0 where one is infinite, and where both
        are finite.
        """
        low, high = np.array(self.low), np.array(self.high)
        bounded = np.isfinite(low) & np.isfinite(high)
        return np.where(bounded, low, 0.0), np.where(bounded, high, 0.0), bounded

    @property
    def num_options(self) -> tuple[int, ...]:
        """Options of each discrete choice."""
        return (2,) * len(self.sizes) if self.kind == "multi-binary" else self.sizes

    def options(self, actions: NDArray[np.float64]) -> NDArray[np.int64]:
        """Options of discrete actions, both (num_actions, num_choices), counted from 0."""
        return np.rint(actions).astype(np.int64) - np.array(self.starts or (0,) * len(self.sizes))

    def from_options(self, options: NDArray[np.int64]) -> NDArray[np.float64]:
        """The inverse of `options`."""
        return np.asarray(options + np.array(self.starts or (0,) * len(self.sizes)), np.float64)

    def tables(self, flat: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """One (options, options) table for each discrete choice.

        Args:
            flat: all of them row by row, one after the other.
        """
        parts = np.split(flat, np.cumsum([options**2 for options in self.num_options])[:-1])
        return [
            part.reshape(options, options)
            for part, options in zip(parts, self.num_options, strict=True)
        ]

    def misfit(self, actions: NDArray[np.float64]) -> str | None:
        """Why some of these actions, (num_actions, num_choices), are not in this space, or None."""
        if self.kind == "box":
            low, high = np.array(self.low), np.array(self.high)
            # files may hold another precision
            slack = 1e-6 * np.maximum(1.0, np.maximum(abs(low), abs(high)))
            slack[~np.isfinite(slack)] = 0
            rule = "within the bounds"
            wrong = np.argwhere((actions < low - slack) | (actions > high + slack))
        else:
            low = np.array(self.starts or (0,) * len(self.sizes), np.float64)
            high = low + np.array(self.num_options) - 1
            rule = "whole numbers within"
            broken = np.argwhere(actions != np.rint(actions))
            wrong = broken if broken.size else np.argwhere((actions < low) | (actions > high))

        if wrong.size:
            step, choice = wrong[0]
            return (
                f"must be {rule} {low[choice]:g} .. {high[choice]:g}, got "
                f"{actions[step, choice]:g} at step {step}"
            )
        return None

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> ActionSpec:
        """The head of policies that act in a space. Raises UserError if none can."""
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
                return cls(
                    "multi-discrete",
                    tuple(int(size) for size in space.nvec.ravel()),
                    shape=space.shape,
                    starts=tuple(int(start) for start in np.asarray(space.start).ravel()),
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


def picture_in(space: spaces.Space[Any]) -> tuple[int, spaces.Box]:
    """Where the picture of an observation begins among its flat numbers, and its space.

    Raises:
        ValueError: there is none, or there are several.
    """
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else (space,)
    found = []
    offset = 0
    for part in parts:
        if isinstance(part, spaces.Box) and len(part.shape) > 1:
            found.append((offset, part))
        offset += flatdim(part)
    if len(found) != 1:
        raise ValueError(f"an observation must have one picture, got {len(found)}")
    return found[0]


def describe(env: gymnasium.Env[Any, Any]) -> tuple[ObservationSpec, ActionSpec]:
    """The specifications of an environment's two spaces."""
    return ObservationSpec.of(env.observation_space), ActionSpec.of(env.action_space)


def check_fit(
    what: str,
    env_id: str,
    spaces: tuple[ObservationSpec, ActionSpec],
    found: tuple[int, ActionSpec],
    got: str = "",
    way_out: str = "use the version that wrote it",
) -> None:
    """Check that what was made for an environment fits the environment as it is now.

    Args:
        what: the subject of the message.
        env_id: the environment.
        spaces: its observations and actions, see `describe`.
        found: the numbers of an observation, and the actions, that fit ``what``.
        got: what stands in the message before these.
        way_out: what to do instead.

    Raises:
        UserError: they differ.
    """
    observations, action = spaces
    if found == (observations.dim, action):
        return
    has, fits = (
        f"{counted(dim, 'observation')} and {actions.in_words}"
        for dim, actions in ((observations.dim, action), found)
    )
    raise UserError(f"{what} must fit {env_id}, which has {has}, got {got}{fits}; {way_out}")
