"""gymnasium's own wrappers, by name and with plain arguments, which is how files and flags hold
them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from esengine.errors import UserError, listed

Wrapper = tuple[str, dict[str, Any]]
"""The name of a wrapper and its keyword arguments."""

WRAPPERS = (
    *("AtariPreprocessing", "ClipAction", "ClipReward", "DelayObservation", "DiscretizeAction"),
    *("DiscretizeObservation", "FilterObservation", "FlattenObservation", "FrameStackObservation"),
    *("GrayscaleObservation", "MaxAndSkipObservation", "RepeatAction", "RescaleAction"),
    *("RescaleObservation", "ReshapeObservation", "ResizeObservation", "StickyAction"),
    *("TimeAwareObservation", "TimeLimit"),
)
"""Those that begin every episode anew and take no function."""

_UNBOUNDED = (
    "ClipReward",
    "RescaleAction",
    "RescaleObservation",
    "ReshapeObservation",
    "TimeLimit",
)
_MOST = 1000  # that another wrapper may be asked for, since frames and delays take memory

_UNSEEN = (
    *("Autoreset", "HumanRendering", "OrderEnforcing", "PassiveEnvChecker", "RecordVideo"),
    *("RecordEpisodeStatistics", "RenderCollection"),
)
"""Those that change nothing that a policy sees, does or is paid."""
_GYMNASIUM = "gymnasium.wrappers."
_MINARI = "minari."  # its wrappers only record


def wrappers_from(values: Any) -> tuple[Wrapper, ...]:
    """Wrappers from JSON values, the innermost first. Raises ValueError for any other value."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"wrappers must be a list, got {values!r:.80}")
    found = []
    for value in values:
        if not (isinstance(value, list | tuple) and len(value) == 2):
            raise ValueError(f"a wrapper must have a name and arguments, got {value!r:.80}")
        name, arguments = value
        if name not in WRAPPERS or not isinstance(arguments, dict):
            raise ValueError(
                f"a wrapper must be one of {listed(WRAPPERS)}, with named arguments, got "
                f"{value!r:.80}"
            )
        if name not in _UNBOUNDED and any(number > _MOST for number in _numbers(arguments)):
            raise ValueError(
                f"a wrapper's numbers must be at most {_MOST}, got {name} with {arguments!r:.80}"
            )
        found.append((str(name), dict(arguments)))
    return tuple(found)


def _numbers(value: Any) -> Iterator[float]:
    """All numbers within a JSON value."""
    if isinstance(value, Mapping):
        yield from _numbers(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _numbers(part)
    elif isinstance(value, int | float):
        yield value


def wrappers_of(described: Iterable[Mapping[str, Any]]) -> tuple[Wrapper, ...]:
    """The wrappers of an environment that gymnasium has described in a file.

    Args:
        described: the ``name``, ``entry_point`` and ``kwargs`` of each, the innermost first.

    Raises:
        ValueError: one of them cannot be had from its name and arguments.
        KeyError: one has no name or no entry point.
    """
    found = []
    for wrapper in described:
        name, place, arguments = wrapper["name"], str(wrapper["entry_point"]), wrapper.get("kwargs")
        own = place.startswith(_GYMNASIUM)
        if place.startswith(_MINARI) or (own and name in _UNSEEN):
            continue
        if not own or name not in WRAPPERS or not isinstance(arguments, dict):
            raise ValueError(
                f"its wrapper {name} ({place}) cannot be made again: only gymnasium's own can, and "
                f"none that keeps statistics over episodes"
            )
        found.append((str(name), arguments))
    return wrappers_from(found)


def wrapped(
    env: gymnasium.Env[Any, Any], wrappers: Iterable[tuple[str, Mapping[str, Any]]]
) -> gymnasium.Env[Any, Any]:
    """The environment in these wrappers. Raises UserError if one cannot be put around it."""
    for name, arguments in wrappers:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*precision lowered")  # of plain numbers
                env = getattr(gymnasium.wrappers, name)(env, **_as_taken(name, arguments))
        except Exception as error:  # whatever the wrapper's own checks raise
            env.close()
            raise UserError(
                f"--env-wrapper {name} with arguments {arguments} cannot be put around the "
                f"environment: {type(error).__name__}: {error}"
            ) from error
    return env


def _as_taken(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with lists of bounds as arrays."""
    return {
        key: np.array(value, np.float32)
        if name.startswith("Rescale") and isinstance(value, list)
        else value
        for key, value in arguments.items()
    }
