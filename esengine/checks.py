"""The checks that settings share. A message names a setting by its flag; `arguments_named` names it
by its argument for callers from Python.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from esengine.errors import UserError, listed, nearest

_FLAG = re.compile(r"(?<!mpirun )(?<!srun )--(?!help\b)(no-)?([a-z][a-z0-9-]*)")


def flag_name(name: str) -> str:
    """The flag of a setting: ``--population-size`` for ``population_size``."""
    return f"--{name.replace('_', '-')}"


@contextmanager
def arguments_named() -> Iterator[None]:
    """Let a UserError name settings as a Python caller gives them: ``population_size`` in place of
    ``--population-size``, and ``antithetic=False`` in place of ``--no-antithetic``.
    """
    try:
        yield
    except UserError as error:
        error.args = (_FLAG.sub(_argument, str(error)),)
        raise


def _argument(flag: re.Match[str]) -> str:
    negated, name = flag.groups()
    argument = name.replace("-", "_")
    return f"{argument}=False" if negated else argument


def at_least(settings: object, least: float, *names: str, way_out: str | None = None) -> None:
    """Raises UserError for a setting below ``least``. None, for a setting that is left out, passes
    every check.

    Args:
        settings: a dataclass instance.
        least: the smallest valid value.
        names: the fields to check.
        way_out: what to do instead; by default the message names the field's default.
    """
    _check(settings, names, lambda value: value >= least, f"must be at least {least}", way_out)


def positive(settings: object, *names: str, way_out: str | None = None) -> None:
    """Raises UserError for a setting that is not finite and above 0."""
    _check(settings, names, lambda value: 0 < value < math.inf, "must be positive", way_out)


def not_negative(settings: object, *names: str, way_out: str | None = None) -> None:
    """Raises UserError for a setting that is not finite or below 0."""
    _check(settings, names, lambda value: 0 <= value < math.inf, "must not be negative", way_out)


def within(
    settings: object,
    low: float,
    high: float,
    *names: str,
    ends: Literal["[]", "[)", "(]", "()"] = "[]",
    way_out: str | None = None,
) -> None:
    """Raises UserError for a setting outside an interval.

    Args:
        settings: a dataclass instance.
        low: the lower end.
        high: the upper end.
        names: the fields to check.
        ends: which ends are valid values: a bracket includes, a parenthesis excludes.
        way_out: what to do instead; by default the message names the field's default.
    """

    def inside(value: float) -> bool:
        above = value >= low if ends[0] == "[" else value > low
        return above and (value <= high if ends[1] == "]" else value < high)

    rule = f"must lie in {ends[0]}{low}, {high}{ends[1]}"
    if ends == "[]":
        rule = f"must lie between {low} and {high}"
    _check(settings, names, inside, rule, way_out)


def finite(settings: object, *names: str, way_out: str | None = None) -> None:
    """Raises UserError for a setting that is infinite or NaN."""
    _check(settings, names, math.isfinite, "must be finite", way_out)


def writable_folder(settings: object, *names: str) -> None:
    """Raises UserError for an output file whose folder cannot be written."""
    for name in names:
        path = getattr(settings, name)
        if path is not None and not os.access(path.resolve().parent, os.W_OK):
            raise UserError(
                f"{flag_name(name)} must lie in a folder that can be written, got {path}; make the "
                f"folder first"
            )


def writable_file(settings: object, name: str, *endings: str, purpose: str = "") -> None:
    """Raises UserError for a file that ends otherwise, is a folder, or whose folder cannot be
    written.

    Args:
        settings: a dataclass instance.
        name: the field to check.
        endings: the valid ones; the first is the example.
        purpose: words after them, such as `` for onnx``.
    """
    path = getattr(settings, name)
    if path.suffix.lower() not in endings:
        raise UserError(
            f"{flag_name(name)} must end in {listed(endings)}{purpose}, got {path}; for example "
            f"{path.with_suffix(endings[0])}"
        )
    if path.is_dir():
        raise UserError(
            f"{flag_name(name)} must be a file, got the folder {path}; use another name"
        )
    writable_folder(settings, name)


def one_of(what: str, value: str, known: Iterable[str], way_out: str) -> None:
    """Raises UserError for an unknown name, with the known names and the nearest of them.

    Args:
        what: the subject of the message, such as ``--generator``.
        value: the name to check.
        known: the valid names.
        way_out: what to do if no known name is similar.
    """
    names = list(known)
    if value not in names:
        similar = nearest(value, names) or f"; {way_out}"
        raise UserError(f"{what} must be one of {listed(names)}, got {value!r}{similar}")


def belong_to(
    settings: object, owner: str, got: str, *names: str, way_out: str = "drop it"
) -> None:
    """Raises UserError for a setting that is given although it belongs to another choice.

    Args:
        settings: a dataclass instance.
        owner: the flags that the fields belong to.
        got: the flag or the value that was given instead.
        names: the fields that must be at their defaults.
        way_out: what to do instead.
    """
    for name in names:
        if not is_default(settings, name):
            raise UserError(f"{flag_name(name)} belongs to {owner}, got {got}; {way_out}")


def is_default(settings: object, name: str) -> bool:
    """Whether a field of a dataclass instance has its default value."""
    return bool(getattr(settings, name) == getattr(type(settings), name))


def named_values(flag: str, texts: tuple[str, ...], example: str) -> dict[str, Any]:
    """Values by name from texts ``name=value``, see `value_of`. Raises UserError for any other
    text.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.isidentifier():
            raise UserError(f"{flag} must be name=value, got {text!r}; for example {example}")
        if name in values:
            raise UserError(f"{flag} must give each name once, got {name} twice; drop one of them")
        try:
            values[name] = value_of(value)
        except ValueError as error:
            raise UserError(
                f"{flag} {name} must be JSON, a Python literal or a plain word, got "
                f"{value!r:.80}: {error}"
            ) from error
    return values


def value_of(text: str) -> Any:
    """The value that a text stands for: JSON, a Python literal, or else the text as a plain word.
    Tuples become lists, as in files. `text_of` is the inverse.

    Raises:
        ValueError: the text looks like a structure, a number or a constant, but is none; or it is
            a value that no file can keep.
    """
    readers: tuple[Callable[[], Any], ...] = (lambda: json.loads(text), lambda: _literal(text))
    for read in readers:
        try:
            value = read()
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return text if value is ... else _storable(value)

    word = text.strip()
    if word[:1] in ("[", "{", "(", '"', "'"):
        raise ValueError("it ends too early, or a part of it is no value; quote texts within it")
    if word.lower() in ("true", "false", "none", "null"):
        raise ValueError("write True, False or None; quote it if it is a text")
    try:
        float(word)
    except ValueError:
        return text
    raise ValueError("write another number; quote it if it is a text")


def text_of(value: Any) -> str:
    """The text of a value of files for a flag, from which `value_of` reads the same value."""
    return json.dumps(value, default=lambda array: array.tolist())


_NAMES = {"true": True, "false": False, "null": None, "inf": math.inf, "Infinity": math.inf}
"""Constants of JSON, and infinity, within Python literals."""


class _WithConstants(ast.NodeTransformer):
    """Replaces the names of constants by their values."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(_NAMES[node.id]) if node.id in _NAMES else node


def _literal(text: str) -> Any:
    """The value of a Python literal. Raises ValueError, SyntaxError, TypeError, RecursionError or
    MemoryError for any other text.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of words that begin as numbers do
        tree = ast.parse(text.strip(), mode="eval")
    return ast.literal_eval(_WithConstants().visit(tree))


def _storable(value: Any) -> Any:
    """A value as files keep it. Raises ValueError for one that they cannot keep."""
    if isinstance(value, list | tuple):
        return [_storable(part) for part in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("the keys of a table must be texts")
        return {key: _storable(part) for key, part in value.items()}
    if isinstance(value, float) and math.isnan(value):
        raise ValueError("NaN is no value")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"files cannot keep a {type(value).__name__}; use a list")


def _check(
    settings: object,
    names: tuple[str, ...],
    is_valid: Callable[[float], bool],
    rule: str,
    way_out: str | None,
) -> None:
    """Raises UserError for a given setting that is not valid."""
    for name in names:
        value = getattr(settings, name)
        if value is None or is_valid(value):
            continue
        default = getattr(type(settings), name, None)
        usual = (
            f"{default} is the default" if default is not None else "leave it out for its default"
        )
        shared = getattr(settings, "set_by", None)  # a flag that sets all fields, as name=value
        shown = flag_name(name) if shared is None else f"{shared} {name}"
        raise UserError(f"{shown} {rule}, got {value}; {way_out or usual}")
