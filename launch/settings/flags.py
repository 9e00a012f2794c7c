"""Command-line flags from dataclasses."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from dataclasses import fields, is_dataclass, make_dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import tyro

from esengine.checks import flag_name
from esengine.errors import UserError, put
from esengine.launch.settings.help import Entry, entries, page
from esengine.launch.settings.other_names import ALIASES, answer

T = TypeVar("T")

HELP = {"-h", "--help", "--help-all"}
"""The flags that ask for help."""

_NUMBERS: dict[Any, type[int] | type[float]] = {
    int: int,
    int | None: int,
    tuple[int, ...]: int,
    float: float,
    float | None: float,
    tuple[float, ...]: float,
}
"""The types of flags that take only numbers, and the kind of number."""


def parse(
    kind: type[T],
    argv: list[str],
    prog: str,
    default: T | None = None,
    description: str | None = None,
) -> T:
    """An instance of a dataclass from flags. Invalid flags print the reason and end the process
    with status 2.

    Args:
        kind: the dataclass; each field is a flag, and its docstring is the help.
        argv: the flags.
        prog: the name of the command.
        default: the values of flags that are not given.
        description: the beginning of the help; default the docstring of the class.

    Raises:
        UserError: a flag that takes numbers got another word.
    """
    flags = dict(_flags(kind))
    if HELP.intersection(argv):
        usage = f"{prog} {' '.join(each.call for each in entries(kind) if each.positional)}"
        about = description or inspect.getdoc(kind) or ""
        put(page(f"{usage.strip()} [FLAGS]", about, _sections(kind, default)))
        raise SystemExit(0)
    argv = [_own_name(word, flags) for word in argv]
    words = gathered(argv, {flag for flag, (hint, _) in flags.items() if _is_list(hint)})
    _check_numbers(words, flags)
    options: dict[str, Any] = {} if default is None else {"default": default}
    parsed: T = tyro.cli(
        kind,
        args=words,
        prog=prog,
        description=description,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff),
        **options,
    )

    return parsed


def parse_with_argument(
    kind: type[T], argv: list[str], prog: str, name: str, about: str, of: Any = Path
) -> tuple[Any, T]:
    """The positional argument of a command, and an instance of a dataclass from its flags.

    Args:
        kind: as for `parse`; its docstring is the beginning of the help.
        argv: the arguments.
        prog: the name of the command.
        name: the name of the positional argument.
        about: its help.
        of: its type; a tuple type takes several values.
    """
    positional = Annotated[of, tyro.conf.Positional, tyro.conf.arg(help=about)]
    flags: Any = kind
    both = make_dataclass(
        prog.rpartition(" ")[2],
        [(name, positional), ("how", Annotated[flags, tyro.conf.arg(name="")])],
        frozen=True,
    )
    parsed: Any = parse(both, argv, prog, description=kind.__doc__)
    return getattr(parsed, name), parsed.how


def gathered(argv: list[str], lists: set[str]) -> list[str]:
    """The arguments with each flag of several values once, so that ``--option a=1 --option b=2``
    becomes ``--option a=1 b=2``.
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


def _flags(kind: type[Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Each flag of a settings class, and of those inside it, with its type and its default."""
    hints = get_type_hints(kind)
    for field in fields(kind):
        hint = hints[field.name]
        if is_dataclass(hint):
            yield from _flags(hint)  # type: ignore[arg-type]
        else:
            yield flag_name(field.name), (hint, field.default)


def _own_name(word: str, flags: Collection[str]) -> str:
    """A word with the name of a flag in place of its alias. Raises UserError for another package's
    name of a flag.
    """
    name, equals, value = word.partition("=")
    if not name.startswith("--"):
        return word
    setting = name[2:].replace("-", "_")
    known = {flag[2:].replace("-", "_") for flag in flags}
    alias = ALIASES.get(setting)
    if setting not in known and alias in known:
        return flag_name(alias) + equals + value
    ours = answer(setting, known)
    if ours is not None:
        raise UserError(f"{name} is called {flag_name(ours)} here, got {word}; use that")
    return word


def _sections(kind: type[Any], default: Any) -> dict[str, list[Entry]]:
    """The positional arguments and the flags of a settings class."""
    found = list(entries(kind, default))
    positional = [entry for entry in found if entry.positional]
    return {"Arguments": positional, "Flags": [each for each in found if not each.positional]}


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple


def _check_numbers(words: list[str], flags: dict[str, tuple[Any, Any]]) -> None:
    """Raises UserError for a word after a flag that takes numbers if it is not a number."""
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        flag = name.replace("_", "-")
        hint, default = flags.get(flag, (None, None))
        kind = _NUMBERS.get(hint)
        if kind is None:
            continue
        after = takewhile(lambda word: not word.startswith("--"), words[index + 1 :])
        texts = [value] if equals else list(after)
        for text in texts if _is_list(hint) else texts[:1]:
            if text != "None" or hint != kind | None:
                _check_number(flag, text, kind, default)


def _check_number(flag: str, text: str, kind: type[int] | type[float], default: Any) -> None:
    if _is_number(text, kind):
        return
    rule = "a whole number" if kind is int else "a number"
    if kind is int and _is_number(text, float) and float(text).is_integer():
        raise UserError(f"{flag} must be {rule}, got {text!r}; use {float(text):.0f}")
    values = default if isinstance(default, tuple) else (default,)
    known = values and all(isinstance(value, int | float) for value in values)
    example = " ".join(map(str, values)) if known else "100" if kind is int else "0.5"
    raise UserError(f"{flag} must be {rule}, got {text!r}; for example {flag} {example}")


def _is_number(text: str, kind: type[int] | type[float]) -> bool:
    try:
        kind(text)
    except ValueError:
        return False
    return True


def split_at_dashes(argv: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first ``--``."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]
