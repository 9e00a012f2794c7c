"""State as named attributes: what a checkpoint holds of a strategy, a learner or an archive."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

import numpy as np

from esengine.algorithms.strategy import State


@runtime_checkable
class Part(Protocol):
    """What has a state of its own: an attribute, or a part of a run that a checkpoint holds."""

    def state(self) -> State:
        """The part's arrays."""

    def restore(self, state: State) -> None:
        """Become the part that gave ``state``."""


class SavedState:
    """Base class of objects whose whole state is the attributes that ``saved`` names.

    An array of the state has the attribute's name without a leading underscore. An attribute that
    is None is left out, and an attribute that has a state of its own is saved under its name as a
    prefix, "optimizer/first". All arrays are copies, in both directions.

    Attributes:
        saved: names of the attributes.
        varying_state: beginnings of the names of arrays that a state may have or lack.
    """

    saved: ClassVar[tuple[str, ...]] = ()
    varying_state: ClassVar[tuple[str, ...]] = ()

    def state(self) -> State:
        """Everything that `restore` needs, as plain arrays."""
        state: State = {}
        for name in self.saved:
            key = name.removeprefix("_")
            value = getattr(self, name)
            if isinstance(value, Part):
                state |= with_prefix(f"{key}/", value.state())
            elif value is not None:
                state[key] = np.array(value)
        return state

    def restore(self, state: State) -> None:
        """Become the object that gave ``state``.

        Raises:
            KeyError: an array is missing.
        """
        for name in self.saved:
            key = name.removeprefix("_")
            value = getattr(self, name)
            if isinstance(value, Part):
                value.restore(without_prefix(f"{key}/", state))
            elif key not in state and (value is None or key.startswith(self.varying_state)):
                setattr(self, name, None)
            else:
                array = state[key]
                setattr(self, name, np.array(array) if array.ndim else array.item())


def with_prefix(prefix: str, state: State) -> State:
    """The arrays of a part, under names that begin with ``prefix``."""
    return {prefix + name: array for name, array in state.items()}


def without_prefix(prefix: str, state: State) -> State:
    """The arrays of the part that `with_prefix` named so, under their own names."""
    return {
        name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)
    }
