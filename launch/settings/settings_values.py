"""Settings from values: the JSON of a run, the TOML of a user, or texts name=value."""

from __future__ import annotations

import math
from dataclasses import fields, make_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from esengine.checks import flag_name
from esengine.errors import UserError, listed
from esengine.launch.settings.other_names import without_aliases

T = TypeVar("T")


def settings_from(kind: type[T], values: dict[str, Any]) -> T:
    """Settings from JSON or TOML values. Raises UserError for an unknown name."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise UserError(f"settings must be a table of names and values, got {values!r:.80}")
    values = without_aliases(values, known)
    unknown = sorted(set(values) - known)
    if unknown:
        raise UserError(
            f"settings must be among {listed(sorted(known))}, got {listed(unknown)[:200]}"
        )
    hints = get_type_hints(kind)
    return kind(**{name: _typed(name, hints[name], value) for name, value in values.items()})


def _typed(name: str, hint: Any, value: Any) -> Any:
    """The value in the type of its setting, converted if that loses nothing. Raises UserError for
    any other type.
    """
    choices = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    for choice in choices:
        origin = get_origin(choice)
        if origin is Literal and value in get_args(choice):
            return value
        if origin is tuple and isinstance(value, list | tuple):
            return tuple(_typed(name, get_args(choice)[0], item) for item in value)
        if choice is Path and isinstance(value, str | Path):
            return Path(value)
        if choice is float and isinstance(value, int | float) and not isinstance(value, bool):
            if abs(value) >= 1 << 1023:  # more than a float holds
                return math.inf if value > 0 else -math.inf
            return float(value)
        plain = isinstance(choice, type) and choice is not Path and isinstance(value, choice)
        if plain and not (choice is int and (isinstance(value, bool) or abs(value) >= 1 << 63)):
            return value
    wanted = " or ".join(_in_words(choice) for choice in choices if choice is not NoneType)
    raise UserError(f"{flag_name(name)} must be {wanted}, got {value!r:.80}")


def _in_words(choice: Any) -> str:
    """The values that a type takes, in words."""
    if get_origin(choice) is Literal:
        return f"one of {listed(get_args(choice))}"
    if get_origin(choice) is tuple:
        return "a list"

    words = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        Path: "a path",
    }
    return words.get(choice, str(choice))


def recorded_settings(values: dict[str, Any]) -> Any:
    """Settings of an unknown class. Raises ValueError or TypeError for invalid names."""
    if any(name.startswith("_") for name in values):
        raise ValueError(
            f"settings must not begin with an underscore, got {listed(sorted(values))[:200]}"
        )
    return make_dataclass("RecordedSettings", values, frozen=True)(**values)
