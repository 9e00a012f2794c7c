"""Flags from dataclasses."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, make_dataclass
from itertools import takewhile
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from esengine.errors import UserError

T = TypeVar("T")


def parse(
    kind: type[T],
    argv: list[str],
    prog: str,
    default: T | None = None,
    description: str | None = None,
) -> T:
    """An instance of a dataclass from flags; ends the process with status 2 and the reason where
    they are no good.

    Args:
        kind: each field is a flag, its docstring the help.
        argv: the flags.
        prog: what the command is called.
        default: values of flags that are not given.
        description: what the help begins with; default the class's docstring.

    Raises:
        UserError: a flag that takes numbers got something else.
    """
    words = gathered(argv, _lists(kind))
    _check_numbers(words, _numbers(kind))
    options: dict[str, Any] = {} if default is None else {"default": default}
    parsed: T = tyro.cli(
        kind,
        args=words,
        prog=prog,
        description=description,
        config=(tyro.conf.OmitArgPrefixes,),
        **options,
    )
    return parsed


def parse_with_argument(
    kind: type[T], argv: list[str], prog: str, name: str, about: str, of: Any = Path
) -> tuple[Any, T]:
    """What stands before the flags, and an instance of a dataclass from the flags.

    Args:
        kind: as for `parse`; its docstring is the help's beginning.
        argv: the arguments.
        prog: what the command is called.
        name: of the positional argument.
        about: its help.
        of: its type; a tuple type takes several.
    """
    positional = Annotated[of, tyro.conf.Positional, tyro.conf.arg(help=about)]
    both = make_dataclass(prog.rpartition(" ")[2], [(name, positional), ("how", kind)], frozen=True)
    parsed: Any = parse(both, argv, prog, description=kind.__doc__)
    return getattr(parsed, name), parsed.how


def gathered(argv: list[str], lists: set[str]) -> list[str]:
    """The arguments with each flag of several values once: ``--option a=1 --option b=2`` becomes
    ``--option a=1 b=2``.
    """
    words: list[str] = []
    values: dict[str, list[str]] = {}
    into = words
    for word in argv:
        flag, _, value = word.partition("=")
        if word.startswith("--"):
            into = words
            if flag.replace("_", "-") in lists:
                flag = flag.replace("_", "-")
                if flag not in values:
                    words.append(flag)
                into = values.setdefault(flag, [])
                into += [value] if value else []
                continue
        into.append(word)
    return [
        each for word in words for each in ([word, *values[word]] if word in values else [word])
    ]


def _lists(kind: type[Any]) -> set[str]:
    """The flags of a settings class, and of those inside it, that take several values."""
    found: set[str] = set()
    for name, hint in get_type_hints(kind).items():
        if is_dataclass(hint):
            found |= _lists(hint)  # type: ignore[arg-type]
        elif get_origin(hint) is tuple:
            found.add(f"--{name.replace('_', '-')}")
    return found


class _Number(NamedTuple):
    """What a flag takes: a kind of number, or several, or the word None; and one that would do."""

    kind: type[int] | type[float]
    several: bool
    optional: bool
    example: str


def _numbers(kind: type[Any]) -> dict[str, _Number]:
    """The flags of a settings class, and of those inside it, that take numbers and nothing else."""
    found: dict[str, _Number] = {}
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint):
            found |= _numbers(hint)  # type: ignore[arg-type]
            continue
        several, optional = get_origin(hint) is tuple, get_origin(hint) in (Union, UnionType)
        taken = set(get_args(hint) if several or optional else (hint,)) - {Ellipsis, NoneType}
        if taken == {int} or taken == {float}:
            number = taken.pop()
            shown = field.default if isinstance(field.default, tuple) else (field.default,)
            known = shown and all(isinstance(value, int | float) for value in shown)
            example = " ".join(map(str, shown)) if known else "100" if number is int else "0.5"
            found[f"--{field.name.replace('_', '-')}"] = _Number(number, several, optional, example)
    return found


def _check_numbers(words: list[str], numbers: dict[str, _Number]) -> None:
    """Raises UserError for a word behind a flag of ``numbers`` that is none."""
    for index, word in enumerate(words):
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-")
        if flag not in numbers:
            continue
        number = numbers[flag]
        behind = (
            [value]
            if equals
            else list(takewhile(lambda word: not word.startswith("--"), words[index + 1 :]))
        )
        for text in behind if number.several else behind[:1]:
            if not (_is_number(text, number.kind) or (number.optional and text == "None")):
                rule = "a whole number" if number.kind is int else "a number"
                whole = number.kind is int and _is_number(text, float) and float(text).is_integer()
                way_out = (
                    f"use {float(text):.0f}" if whole else f"for example {flag} {number.example}"
                )
                raise UserError(f"{flag} must be {rule}, got {text!r}; {way_out}")


def _is_number(text: str, kind: type[int] | type[float]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def split_at_dashes(argv: list[str]) -> tuple[list[str], list[str]]:
    """What stands before and after the first ``--``."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def flags_of(kind: type[Any]) -> list[str]:
    """The flags of a settings class."""
    return [f"--{field.name.replace('_', '-')}" for field in fields(kind)]
