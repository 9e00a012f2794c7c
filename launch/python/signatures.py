"""What the functions for callers from Python take, for ``help``, completion and `inspect`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

F = TypeVar("F", bound=Callable[..., Any])


def takes_settings(*kinds: type[Any], without: tuple[str, ...] = ()) -> Callable[[F], F]:
    """A decorator for a function with ``**settings``: its signature names the fields of these
    dataclasses too.

    Args:
        kinds: dataclasses.
        without: fields that the function does not take.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function)
        own = list(signature.parameters.values())
        rest = [each for each in own if each.kind is each.VAR_KEYWORD]
        taken = {each.name for each in own} | set(without)
        added = []
        for kind in kinds:
            hints = get_type_hints(kind)
            for field in fields(kind):
                if field.name in taken:
                    continue
                taken.add(field.name)
                default = None if field.default is MISSING else field.default
                added.append(
                    inspect.Parameter(
                        field.name,
                        inspect.Parameter.KEYWORD_ONLY,
                        default=default,
                        annotation=hints[field.name],
                    )
                )

        named = [each for each in own if each not in rest]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*named, *added, *rest]
        )
        return function

    return decorate
