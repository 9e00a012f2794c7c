"""The settings of a run as the command that would start it again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from typing import Any

from esengine.checks import flag_name
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.groups import StartSettings

_OF_A_START = {"run_dir", *(field.name for field in fields(StartSettings))}  # change no result


def command_of(config: RunConfig) -> list[str]:
    """``esengine train ...`` with a flag for each setting that changes the result and is not at its
    default.
    """
    words = ["esengine", "train", config.method]
    return [*words, *flags_of(config.train, _OF_A_START), *flags_of(config.search, _OF_A_START)]


def flags_of(settings: Any, left_out: Iterable[str]) -> list[str]:
    """The flags of the settings of a dataclass that are not at their defaults."""
    words = []
    for name, value in changed(settings).items():
        if name not in left_out:
            words += _flag(name, value)
    return words


def changed(settings: Any) -> dict[str, Any]:
    """The settings of a dataclass that are not at their defaults, by name."""
    found = {}
    for field in fields(settings):
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if getattr(settings, field.name) != default:
            found[field.name] = getattr(settings, field.name)
    return found


def _flag(name: str, value: Any) -> list[str]:
    """The words that give a setting its value."""
    if isinstance(value, bool):
        return [flag_name(name if value else f"no_{name}")]
    values = value if isinstance(value, tuple | list) else (value,)
    return [flag_name(name), *map(str, values)]
