"""Records, which are small JSON files of known form: read in one place and checked by one typed
decoder, so that a damaged one is refused in one sentence that names the file and the field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from esengine.errors import UserError, shown
from esengine.storage.files import JSON_BYTES, parse_json, read_bytes

T = TypeVar("T")


def read_record(path: Path, kind: type[T], name: str | None = None) -> T:
    """A record in a JSON file.

    Args:
        path: the file.
        kind: its form: a ``TypedDict``. Other fields than its own are kept.
        name: of the file in messages; default ``path``.

    Raises:
        UserError: the file is missing, unreadable, no JSON, or of another form.
    """
    named = shown(path if name is None else name, most=None)
    try:
        value = parse_json(read_bytes(path, JSON_BYTES))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"{named} must be readable JSON, but: {reason}") from error
    except ValueError as error:
        raise UserError(
            f"{named} must be readable JSON, but: {shown(error)}; restore it from a copy"
        ) from error

    return checked_record(value, kind, named)


def checked_record(value: Any, kind: type[T], name: str) -> T:
    """A JSON value that has a form, unchanged.

    Raises:
        UserError: it has another form. The message names the field.
    """
    try:
        msgspec.convert(value, kind, strict=True)
    except (msgspec.ValidationError, OverflowError, RecursionError) as error:
        reason = shown(error).replace("`$.", "`").replace(" - at `$`", "")
        raise UserError(
            f"{name} must be a whole record, but: {reason}; restore it from a copy"
        ) from error
    checked: T = value
    return checked
