"""Command-line flags from dataclasses: each field is a flag, and its docstring is the help."""

from __future__ import annotations

import inspect
import re
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from esengine.checks import flag_name
from esengine.errors import UserError, nearest, put
from esengine.launch.settings.flag_values import takes_several, value_of
from esengine.launch.settings.help import Entry, Positional, entries, page
from esengine.launch.settings.other_names import ALIASES, answer

T = TypeVar("T")

HELP = {"-h", "--help", "--help-all"}
"""The flags that ask for help."""

_FLAG = re.compile(r"--[^\W\d]")


def parse(
    kind: type[T],
    argv: list[str],
    prog: str,
    default: T | None = None,
    description: str | None = None,
) -> T:
    """An instance of a dataclass from flags. A flag that asks for help ends the process.

    Args:
        kind: the dataclass. Fields that are dataclasses have their fields as flags too.
        argv: the flags.
        prog: the name of the command.
        default: the values of flags that are not given.
        description: the beginning of the help; default the docstring of the class.

    Raises:
        UserError: a word is no flag of the command or no value of its flag, or one is missing.
    """
    listing = list(entries(kind, default))
    positional = [entry for entry in listing if entry.positional]
    if HELP.intersection(argv):
        usage = f"{prog} {' '.join(entry.call for entry in positional)}"
        about = description or inspect.getdoc(kind) or ""
        flags = [entry for entry in listing if not entry.positional]
        put(page(f"{usage.strip()} [FLAGS]", about, {"Arguments": positional, "Flags": flags}))
        raise SystemExit(0)

    loose, given = _flags_given(argv, listing, prog)
    given |= _arguments_given(loose, positional, prog)
    for entry in listing:
        if entry.name not in given and entry.default is MISSING:
            command = prog.removeprefix("esengine ")
            raise UserError(f"{command} must have {entry.call}, got none; that is: {entry.about}")
    return _made(kind, given, default)


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
    flags: Any = kind
    both = make_dataclass(
        prog.rpartition(" ")[2],
        [(name, Annotated[of, Positional(about)]), ("how", flags)],
        frozen=True,
    )
    parsed: Any = parse(both, argv, prog, description=kind.__doc__)
    return getattr(parsed, name), parsed.how


def parse_process(kind: type[T]) -> T:
    """An instance of a dataclass from the flags of a program of the tests or the benchmarks, which
    ends with a sentence if they are invalid.
    """
    try:
        return parse(kind, sys.argv[1:], Path(sys.argv[0]).name)
    except UserError as error:
        sys.exit(str(error))


def _flags_given(
    argv: Sequence[str], listing: Sequence[Entry], prog: str
) -> tuple[list[str], dict[str, Any]]:
    """The words that belong to no flag, and the values of the flags by field. Of a flag that is
    given several times, the last value counts; one of several values gets them all.
    """
    known = {flag_name(entry.name): entry for entry in listing if not entry.positional}
    words: dict[str, list[str]] = {}
    values: dict[str, Any] = {}
    loose: list[str] = []
    rest = deque(argv)
    while rest:
        word = rest.popleft()
        if not _FLAG.match(word):
            loose.append(word)
            continue
        _, equals, value = word.partition("=")
        flag = _own_name(word, known, prog)
        entry = known[flag.replace("--no-", "--", 1) if flag not in known else flag]
        if entry.hint is bool:
            if equals:
                raise UserError(f"{flag} takes no value, got {word}; write {flag}")
            values[entry.name] = flag in known
            continue

        several = takes_several(entry.hint)
        after = [value] if value or (equals and not several) else []
        while rest and not _FLAG.match(rest[0]) and (several or not (after or equals)):
            after.append(rest.popleft())
        if not several and not after:
            raise UserError(f"{flag} must have a value, got none; write {entry.call}")
        words[entry.name] = [*(words.get(entry.name, []) if several else []), *after]
        values[entry.name] = value_of(flag, words[entry.name], entry.hint, entry.default)
    return loose, values


def _arguments_given(
    loose: Sequence[str], positional: Sequence[Entry], prog: str
) -> dict[str, Any]:
    """The values of positional arguments by field."""
    values: dict[str, Any] = {}
    left = list(loose)
    for entry in positional:
        several = takes_several(entry.hint)
        own, left = (left, []) if several else (left[:1], left[1:])
        if own or several:
            values[entry.name] = value_of(entry.name.upper(), own, entry.hint)
    if left:
        raise UserError(
            f"words must follow a flag of {prog} that takes them, got {left[0]!r}; put a text with "
            f"spaces in quotes"
        )
    return values


def _own_name(word: str, known: dict[str, Entry], prog: str) -> str:
    """The flag of a word by its own name, with hyphens; a switch may have ``--no-`` before it.

    Raises:
        UserError: another package's name of a flag, or an unknown one.
    """
    name = word.partition("=")[0]
    flag = name.replace("_", "-")
    switches = {f"--no-{each[2:]}" for each, entry in known.items() if entry.hint is bool}
    setting = flag[2:].replace("-", "_")
    alias = flag_name(ALIASES.get(setting, setting))
    if flag in known or flag in switches:
        return flag
    if alias in known:
        return alias
    ours = answer(setting, (each[2:].replace("-", "_") for each in known))
    if ours is not None:
        raise UserError(f"{name} is called {flag_name(ours)} here, got {word}; use that")
    every = "--help-all" if prog.startswith("esengine train ") else "--help"
    meant = nearest(flag, [*known, *switches]) or f"; {prog} {every} lists them"
    raise UserError(f"flags must be those of {prog}, got {name}{meant}")


def _made(kind: type[T], given: dict[str, Any], default: T | None) -> T:
    """An instance of a dataclass, and of those in it, from values by field."""
    hints = get_type_hints(kind)
    values = {}
    for field in fields(kind):  # type: ignore[arg-type]
        hint = hints[field.name]
        if is_dataclass(hint):
            inner = None if default is None else getattr(default, field.name)
            values[field.name] = _made(hint, given, inner)  # type: ignore[arg-type]
        elif field.name in given:
            values[field.name] = given[field.name]
    return kind(**values) if default is None else replace(default, **values)  # type: ignore[type-var]


def split_at_dashes(argv: list[str]) -> tuple[list[str], list[str]]:
    """The words before and after the first ``--``."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]
