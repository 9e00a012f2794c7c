"""Names in files whose code would run: a module is imported for the user who names it, not for a file that somebody wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from esengine.errors import UserError


def check_trusted(source: object, *names: str) -> None:
    """Raises UserError for a name ``module:name`` that a file, and not the user, would have imported."""
    for name in names:
        if ":" in name:
            raise UserError(
                f"{source} names the module {name.removesuffix(':')!r:.200}, whose code would run; "
                "add --trust-modules if you trust whoever wrote it"
            )


def modules_of(env_id: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts ``module:name`` of an environment: its id, or within an argument.

    Environments that wrap those of another package, such as gymnasium's of the old Gym, import what an argument names.
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
