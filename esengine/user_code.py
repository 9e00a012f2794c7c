"""Functions and classes that the command line names as ``module:name``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from esengine.errors import UserError


def named_callable(flag: str, name: str, example: str, kind: str = "function") -> Any:
    """The function or class that a flag names.

    Args:
        flag: with its dashes, for the message.
        name: ``module:name``.
        example: of what the flag takes.
        kind: what must be named, for the message.

    Raises:
        UserError: there is no such module, it does not import, or the name is nothing that can be
            called.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not module_name or not attribute:
        raise UserError(f"{flag} must be module:{kind}, got {name!r}; for example {example}")
    module = named_module(flag, module_name, name)
    function = getattr(module, attribute, None)
    if not callable(function):
        found = "no such name" if function is None else f"a {type(function).__name__}"
        raise UserError(
            f"{flag} must name a {kind} of {module_name}, got {found} for {attribute!r}"
        )
    return function


def named_module(flag: str, module_name: str, shown: str | None = None) -> ModuleType:
    """The module that a flag names, from the current folder or ``PYTHONPATH``; ``shown`` is what
    the user wrote.

    Raises:
        UserError: there is none, or it does not import.
    """
    shown = module_name if shown is None else shown
    find_modules_here()
    try:
        return importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{flag} must name a module that can be imported, got {shown!r}: {error}; "
            "modules are found from the current folder and PYTHONPATH"
        ) from error
    except Exception as error:
        raise UserError(
            f"{flag} {shown!r} must import cleanly, but raised {type(error).__name__}: {error}"
        ) from error


def find_modules_here() -> None:
    """Let modules be imported from the current folder, after all others, so that no file there
    shadows one.
    """
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def check_trusted(source: object, *names: str) -> None:
    """Raises UserError for a name ``module:name`` that a file, and not the user, would have
    imported.
    """
    for name in names:
        if ":" in name:
            raise UserError(
                f"{source} names the module {name.removesuffix(':')!r:.200}, whose code would run; "
                "add --trust-modules if you trust whoever wrote it"
            )


def modules_of(env_id: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts ``module:name`` of an environment: its id, or within an argument.

    Environments that wrap those of another package, such as gymnasium's of the old Gym, import what
    an argument names.
    """
    return tuple(text for text in (env_id, *_texts(arguments)) if ":" in text)


def _texts(value: Any) -> Iterator[str]:
    """All texts within a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.items()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
