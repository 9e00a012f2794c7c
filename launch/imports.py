"""Importing what a user names as ``module:name``."""

from __future__ import annotations

import importlib
from typing import Any

from esengine.environments import find_modules_here
from esengine.errors import UserError


def import_named(name: str, flag: str, kind: str, example: str) -> tuple[Any, Any]:
    """The module, and what a user names in it; modules are found from the current folder and PYTHONPATH.

    Args:
        name: ``module:name``.
        flag: the flag that it was given to, for messages.
        kind: what must be named, for messages: function, class.
        example: a name as it should be.

    Raises:
        UserError: it is no such name, the module cannot be imported, or has nothing callable of that name.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not module_name or not attribute:
        raise UserError(f"{flag} must be module:{kind}, got {name!r}; for example {example}")
    find_modules_here()
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise UserError(
            f"{flag} must name a module that can be imported, got {name!r}: {error}; "
            "modules are found from the current folder and PYTHONPATH"
        ) from error
    except Exception as error:
        raise UserError(f"{flag} {name!r} must import cleanly, but raised {type(error).__name__}: {error}") from error
    found = getattr(module, attribute, None)
    if not callable(found):
        what = "no such name" if found is None else f"a {type(found).__name__}"
        raise UserError(f"{flag} must name a {kind} of {module_name}, got {what} for {attribute!r}")
    return module, found
