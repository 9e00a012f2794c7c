"""User-supplied functions and classes, named as ``module:name``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

import numpy as np

from esengine.errors import ANY_TEXT, UserError, in_one_line, readable
from esengine.user_code.contained import warnings_kept
from esengine.user_code.objects import is_object, object_of

PROGRAM = "program:"
"""Begins the name of a program among those of modules."""


def named_callable(flag: str, name: str, example: str, kind: str = "function") -> Any:
    """Import the function or class that a flag names.

    Args:
        flag: the flag with its dashes, for the message.
        name: ``module:name``.
        example: a valid value, for the message.
        kind: what the flag names, for the message.

    Raises:
        UserError: the module does not exist or does not import, or the name cannot be called.
    """
    name = readable(name)
    if is_object(name):
        return object_of(flag, name)
    module_name, separator, attribute = name.partition(":")
    if not separator or not module_name or not attribute:
        raise UserError(f"{flag} must be module:{kind}, got {name!r}; for example {example}")
    function = getattr(named_module(flag, module_name, name), attribute, None)
    if not callable(function):
        found = "no such name" if function is None else f"a {type(function).__name__}"
        raise UserError(
            f"{flag} must name a {kind} of {module_name}, got {found} for {attribute!r}"
        )
    return function


def named_module(flag: str, module_name: str, shown: str | None = None) -> ModuleType:
    """Import the module that a flag names, from the current folder or ``PYTHONPATH``.

    Args:
        flag: the flag with its dashes, for the message.
        module_name: the module.
        shown: what the user wrote, for the message; default the module.

    Raises:
        UserError: the module does not exist or does not import.
    """
    if is_object(module_name):
        return object_of(flag, module_name)  # type: ignore[no-any-return]
    shown = readable(shown or module_name)
    find_modules_here()
    try:
        with warnings_kept():
            return importlib.import_module(as_in_files(module_name))
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{flag} must name a module that can be imported, got {shown!r}: {error}; "
            "modules are found from the current folder and PYTHONPATH"
        ) from error
    except (Exception, SystemExit) as error:
        raise UserError(
            f"{flag} {shown!r} must import cleanly, but raised {type(error).__name__}: {error}"
        ) from error


def number_of(what: str, value: Any) -> float:
    """The number that user code returned; an array of one number is a number.

    Args:
        what: the subject of the message, such as ``a reward``.
        value: what was returned.

    Raises:
        UserError: it is no number.
    """
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if value is not None and not isinstance(value, str | bytes | complex | np.complexfloating):
        with suppress(TypeError, ValueError):
            return float(value)
    raise UserError(f"{what} must be one number, got {described(value)}; return a float")


def described(value: Any) -> str:
    """What user code returned, in one line."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {in_one_line(value)}"
    return f"a {type(value).__name__}: {in_one_line(value)}"


def find_modules_here() -> None:
    """Let modules be imported from the current folder. It comes last, so that its files shadow no
    other module.
    """
    with suppress(FileNotFoundError):  # user code works in a folder that it has removed
        if os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())


def as_in_files(name: str) -> str:
    """A name as the locale of this process spells it where it is the name of a file, wherever the
    name was recorded.
    """
    return os.fsdecode(name.encode("utf-8", ANY_TEXT))


def modules_of(env_id: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The names ``module:name``, and those of files, in the id and the arguments of an environment.

    Environments that wrap those of another package, such as gymnasium's wrapper of Gym, import what
    an argument names. Those of MuJoCo open the model that one names.
    """
    own = (env_id,) if ":" in env_id else ()
    return (*own, *(text for text in _texts(arguments) if ":" in text or _names_file(text)))


def _names_file(text: str) -> bool:
    """Whether a text is a path, or the name of a file in the current folder."""
    return os.sep in text or text.startswith((".", "~")) or os.path.lexists(text)


def _texts(value: Any) -> Iterator[str]:
    """All texts within a JSON value, and the keys that may name a module."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from (str(key) for key in value if ":" in str(key))
        yield from _texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
