"""Placeholders in commands and templates: names in braces, such as ``{thickness:.6e}``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from esengine.errors import UserError, listed

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<name>[^\W\d]\w*)(?::(?P<form>[^{}]*))?\}|\{\s*\}")


def check_placeholders(where: str, text: str, known: Mapping[str, Any]) -> None:
    """Raises UserError for a placeholder without a name, with an unknown one, or with a form that
    its value has not.

    Args:
        where: what the text is, for the message.
        text: with placeholders; doubled braces stand for single ones.
        known: an example of a value by each name.
    """
    names = sorted(known)
    for match in _PLACEHOLDER.finditer(text):
        name, form = match["name"], match["form"]
        if match[0] in ("{{", "}}"):
            continue
        if name is None:
            raise UserError(
                f"{where} must name each placeholder, got {match[0]}; write {{{{}}}} for the "
                f"braces themselves"
            )
        if name not in names:
            raise UserError(
                f"{where} must have placeholders among {listed(names)}, got {match[0]}; write "
                f"{{{match[0]}}} for the braces themselves"
            )
        try:
            format(known[name], form or "")
        except ValueError as error:
            raise UserError(
                f"{where} must have placeholders whose form fits, got {match[0]}: {error}; "
                f"for example {{{name}:.6e}}"
            ) from error


def filled(text: str, values: Mapping[str, Any]) -> str:
    """A text with the values in place of the placeholders; a number without a form is written so
    that it is read back exactly.
    """

    def value_of(match: re.Match[str]) -> str:
        if match[0] in ("{{", "}}"):
            return match[0][0]
        value = values[match["name"]]
        return format(value, match["form"]) if match["form"] else str(value)

    return _PLACEHOLDER.sub(value_of, text)


def placeholders_of(text: str) -> set[str]:
    """The names of the placeholders in a text."""
    return {match["name"] for match in _PLACEHOLDER.finditer(text) if match["name"]}
