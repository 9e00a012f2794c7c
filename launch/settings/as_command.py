"""A run's settings as the command that would begin it once more."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.run import StartSettings

_OF_A_START = {"run_dir", *(field.name for field in fields(StartSettings))}  # change no result


def command_of(config: RunConfig) -> list[str]:
    """``esengine train ...`` with a flag for each setting that is not at its default and that a
    result depends on.
    """
    words = ["esengine", "train", config.method]
    for settings in (config.train, config.search):
        for name, value in changed(settings).items():
            if name not in _OF_A_START:
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
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return [f"--{flag}" if value else f"--no-{flag}"]
    values = value if isinstance(value, tuple | list) else ("None" if value is None else value,)
    return [
        f"--{flag}",
        *(str(item) if not isinstance(item, Path) else item.as_posix() for item in values),
    ]
