"""Functions and classes that the command line names as ``module:name``."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from esengine.environments import find_modules_here
from esengine.errors import UserError


def named_callable(flag: str, name: str, example: str, kind: str = "function") -> Any:
    """The function or class that a flag names.

    Args:
        flag: with its dashes, for the message.
        name: ``module:name``.
        example: of what the flag takes.
        kind: what must be named, for the message.

    Raises:
        UserError: there is no such module, it does not import, or the name is nothing that can be called.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not module_name or not attribute:
        raise UserError(f"{flag} must be module:{kind}, got {name!r}; for example {example}")
    module = named_module(flag, module_name, name)
    function = getattr(module, attribute, None)
    if not callable(function):
        found = "no such name" if function is None else f"a {type(function).__name__}"
        raise UserError(f"{flag} must name a {kind} of {module_name}, got {found} for {attribute!r}")
    return function


def named_module(flag: str, module_name: str, shown: str | None = None) -> ModuleType:
    """The module that a flag names, from the current folder or ``PYTHONPATH``; ``shown`` is what the user wrote.

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
        raise UserError(f"{flag} {shown!r} must import cleanly, but raised {type(error).__name__}: {error}") from error
