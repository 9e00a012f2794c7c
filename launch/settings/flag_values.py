"""The words after a flag as the value of its field."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from esengine.checks import one_of
from esengine.errors import UserError, listed

_RULES = {int: "a whole number", float: "a number"}
_EXAMPLES = {int: "100", float: "0.5"}


def choices_of(hint: Any) -> tuple[Any, ...]:
    """The types that a value may have, without None."""
    choices = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(choice for choice in choices if choice is not NoneType)


def takes_several(hint: Any) -> bool:
    """Whether a flag takes any number of words."""
    return any(get_origin(choice) is tuple for choice in choices_of(hint))


def value_of(call: str, words: Sequence[str], hint: Any, default: Any = None) -> Any:
    """The value that the words of a flag or of a positional argument give.

    Args:
        call: the flag, or the name of the argument.
        words: as many as the type takes.
        hint: the type: `bool` is excluded; ``None`` stands for None where that is allowed.
        default: for an example in the message.

    Raises:
        UserError: the words are no value of the type.
    """
    choices = choices_of(hint)
    if list(words) == ["None"] and hint not in choices:
        return None
    if len(choices) > 1:
        return _first_that_fits(call, words, choices)

    (kind,) = choices
    if get_origin(kind) is not tuple:
        return _single(call, words[0], kind, default)
    item, *rest = get_args(kind)
    if rest != [...] and len(words) != 1 + len(rest):
        raise UserError(f"{call} must have {1 + len(rest)} values, got {len(words)}")
    return tuple(_single(call, word, item, default) for word in words)


def _first_that_fits(call: str, words: Sequence[str], choices: Sequence[Any]) -> Any:
    """The value of the first type that takes the words."""
    for choice in choices:
        if len(words) == 1 or get_origin(choice) is tuple:
            try:
                return value_of(call, words, choice)
            except UserError:
                continue
    raise UserError(f"{call} must be a number, numbers or a path, got {listed(words)}")


def _single(call: str, word: str, kind: Any, default: Any) -> Any:
    if get_origin(kind) is Literal:
        known = [str(choice) for choice in get_args(kind)]
        one_of(call, word, known, f"for example {call} {known[0]}")
        return get_args(kind)[known.index(word)]
    if kind in _RULES:
        return _number(call, word, kind, default)
    if kind in (str, Path):
        return kind(word)
    for choice in choices_of(kind):
        if choice is str or _is_number(word, choice):
            return choice(word)
    raise TypeError(f"a flag takes no {kind}")


def _number(call: str, word: str, kind: type[int] | type[float], default: Any) -> int | float:
    if _is_number(word, kind):
        return kind(word)
    rule = _RULES[kind]
    if kind is int and _is_number(word, float) and float(word).is_integer():
        raise UserError(f"{call} must be {rule}, got {word!r}; use {float(word):.0f}")
    values = default if isinstance(default, tuple) else (default,)
    known = values and all(isinstance(value, int | float) for value in values)
    example = " ".join(map(str, values)) if known else _EXAMPLES[kind]
    raise UserError(f"{call} must be {rule}, got {word!r}; for example {call} {example}")


def _is_number(word: str, kind: type[int] | type[float]) -> bool:
    try:
        kind(word)
    except ValueError:
        return False
    return True
