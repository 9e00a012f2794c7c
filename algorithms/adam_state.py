"""The moments of torch's Adam as plain arrays, for the states of learners."""

from __future__ import annotations

from typing import Any

from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State


def adam_state(adam: Any, leaves: dict[str, Any]) -> State:
    """Return the moments of an optimiser's tensors.

    Args:
        adam: the torch.optim.Adam.
        leaves: its tensors by the prefix that the names of their moments get.
    """
    state: State = {}
    for prefix, leaf in leaves.items():
        moments = adam.state.get(leaf, {})
        state |= with_prefix(
            prefix, {name: value.numpy().copy() for name, value in moments.items()}
        )
    return state


def restore_adam(adam: Any, leaves: dict[str, Any], state: State) -> None:
    """Give an optimiser the moments that `adam_state` returned; other arrays are ignored."""
    import torch

    adam.state.clear()
    for prefix, leaf in leaves.items():
        moments = without_prefix(prefix, state)
        if moments:
            adam.state[leaf] = {name: torch.tensor(array) for name, array in moments.items()}
