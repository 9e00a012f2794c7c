"""Values by name from texts ``name=value``, as flags give them."""

from __future__ import annotations

import json
from typing import Any

from esengine.errors import UserError


def named_values(flag: str, texts: tuple[str, ...], example: str) -> dict[str, Any]:
    """Values by name from texts name=value, each JSON or a plain word. Raises UserError for a text
    that is none.
    """
    arguments = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise UserError(f"{flag} must be name=value, got {text!r}; for example {example}")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments
