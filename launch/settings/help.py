"""The help of a command, from its settings: sections of flags, each with its docstring."""

from __future__ import annotations

import ast
import inspect
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from esengine.checks import flag_name

_WIDEST = 100  # columns of a page
_INDENT = 28  # column at which descriptions begin
_WORDS = {int: "N", float: "X", str: "TEXT", Path: "PATH", bool: "BOOL"}


@dataclass(frozen=True)
class Positional:
    """Marks a field, as in ``Annotated[Path, Positional()]``, that is given without a flag.

    Attributes:
        about: its help, in place of the docstring of the field.
    """

    about: str = ""


@dataclass(frozen=True)
class Entry:
    """One flag, or one positional argument, in the help of a command.

    Attributes:
        name: of the field.
        hint: its type.
        default: its default, or `MISSING`.
        about: what it does, in sentences.
        positional: whether it is given without a flag.
    """

    name: str
    hint: Any
    default: Any
    about: str
    positional: bool = False

    @property
    def call(self) -> str:
        """The words that give it, such as ``--sigma X``."""
        if self.positional:
            several = " ..." if get_origin(self.hint) is tuple else ""
            return self.name.upper() + several
        if self.hint is bool:
            return flag_name(self.name).replace("--", "--[no-]" if self.default else "--", 1)
        return f"{flag_name(self.name)} {_values(self.hint)}".rstrip()

    @property
    def remark(self) -> str:
        """Its default in words, where it has one that says something."""
        default = self.default
        if default is MISSING:
            return "" if self.positional else " (required)"
        if default is False or default in (None, (), ""):
            return ""
        if default is True:
            return " (default: on)"
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        return f" (default: {shown})"


def entries(kind: type[Any], default: Any = None) -> Iterator[Entry]:
    """The entries of a settings class, and of the settings classes in it.

    Args:
        kind: a dataclass.
        default: an instance that holds the defaults, if they are not those of the class.
    """
    hints = get_type_hints(kind, include_extras=True)
    docs = field_docs(kind)
    for field in fields(kind):
        marks: tuple[Any, ...] = ()
        hint = hints[field.name]
        if get_origin(hint) is Annotated:
            hint, *rest = get_args(hint)
            marks = tuple(rest)
        if field.name == "_":
            continue
        value = field.default if default is None else getattr(default, field.name)
        if is_dataclass(hint):
            yield from entries(hint, None if value is MISSING else value)  # type: ignore[arg-type]
            continue
        positional = next((mark for mark in marks if isinstance(mark, Positional)), None)
        given = "" if positional is None else positional.about
        about = given or docs.get(field.name, "")
        yield Entry(field.name, hint, value, about, positional is not None)


def field_docs(kind: Any) -> Mapping[str, str]:
    """The docstring below each field of a class, as one line; also of its base classes."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        definition = _classes(each.__module__).get(each.__qualname__)
        if definition is None:  # made at run time
            continue
        for field, text in zip(definition.body, definition.body[1:], strict=False):
            if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
                continue
            match text:
                case ast.Expr(value=ast.Constant(value=str(words))):
                    found[field.target.id] = " ".join(words.split())
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes at the top of a module, by their names; none of one without a source."""
    try:
        statements = ast.parse(inspect.getsource(sys.modules[module])).body
    except (KeyError, OSError, TypeError):
        return {}
    return {each.name: each for each in statements if isinstance(each, ast.ClassDef)}


def page(
    usage: str,
    description: str,
    sections: Mapping[str, Sequence[Entry]],
    brief: bool = False,
    closing: str = "",
) -> str:
    """The text of a help page.

    Args:
        usage: how the command is called.
        description: what it does.
        sections: entries by heading; those without entries are left out.
        brief: show only the first sentence about each entry.
        closing: the last paragraph.
    """
    width = min(_WIDEST, shutil.get_terminal_size().columns)
    parts = [f"usage: {usage}"]
    parts += [textwrap.fill(paragraph, width) for paragraph in _paragraphs(description)]
    for heading, listed in sections.items():
        if listed:
            rows = (_row(entry, width, brief) for entry in listed)
            parts.append("\n".join([f"{heading}:", *rows]))
    parts += [textwrap.fill(closing, width)] if closing else []
    return "\n\n".join(parts)


def _row(entry: Entry, width: int, brief: bool) -> str:
    text = entry.about
    if brief:
        text = text.partition(". ")[0].rstrip(".")
    head = f"  {entry.call}"
    aside = textwrap.wrap(text + entry.remark, max(20, width - _INDENT), break_on_hyphens=False)
    if len(head) + 2 <= _INDENT and aside:
        head = f"{head:<{_INDENT}}{aside.pop(0)}"
    return "\n".join([head, *(" " * _INDENT + line for line in aside)])


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring, each as one line."""
    return [" ".join(each.split()) for each in text.split("\n\n") if each.strip()]


def _values(hint: Any) -> str:
    """The values that a flag takes, in one word."""
    if get_origin(hint) in (Union, UnionType):
        choices = [_values(choice) for choice in get_args(hint) if choice is not NoneType]
        return "|".join(dict.fromkeys(choices))
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"{_values(get_args(hint)[0])} ..."
    return _WORDS.get(hint, "VALUE")
