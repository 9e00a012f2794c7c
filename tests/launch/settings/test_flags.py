"""Flags become the fields of a dataclass, and what is wrong is said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from esengine.errors import UserError
from esengine.launch.settings.flags import parse, parse_with_argument
from esengine.launch.settings.help import Positional


@dataclass(frozen=True)
class Inner:
    """Fields of a group."""

    units: tuple[int, ...] = (16,)
    """Units."""
    deep: bool = True
    """Whether it is deep."""


@dataclass(frozen=True)
class Outer:
    """A command."""

    name: str
    """The name of it."""
    kind: Literal["one", "two"] = "one"
    """Which kind."""
    rate: float | None = None
    """Its rate."""
    start: float | tuple[float, ...] | Path | None = None
    """Where it starts."""
    pair: tuple[int, int] = (0, 1)
    """Two numbers."""
    places: tuple[int | str, ...] = ()
    """Numbers or names."""
    words: tuple[str, ...] = ()
    """Texts."""
    force: bool = False
    """Use force."""
    inner: Inner = Inner()


@dataclass(frozen=True)
class Two:
    """A command with arguments."""

    first: Annotated[Path, Positional()]
    """A file."""
    second: Annotated[str | None, Positional()] = None
    """A text."""


def outer(*words: str) -> Outer:
    return parse(Outer, ["--name", "x", *words], "try")


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (("--kind", "two"), "kind", "two"),
        (("--rate=-1e-3",), "rate", -1e-3),
        (("--rate", "-inf"), "rate", float("-inf")),
        (("--rate", "None"), "rate", None),
        (("--start", "2"), "start", 2.0),
        (("--start", "-1", "2"), "start", (-1.0, 2.0)),
        (("--start", "a.npy"), "start", Path("a.npy")),
        (("--pair", "3", "4"), "pair", (3, 4)),
        (("--places", "1", "b"), "places", (1, "b")),
        (("--words", "a", "-b", "c=--d"), "words", ("a", "-b", "c=--d")),
        (("--words", "a", "--words=b"), "words", ("a", "b")),
        (("--words=--a", "b"), "words", ("--a", "b")),
        (("--words=",), "words", ()),
        (("--words",), "words", ()),
        (("--name=",), "name", ""),
        (("--name", "y", "--name", "z"), "name", "z"),
        (("--force",), "force", True),
        (("--force", "--no-force"), "force", False),
    ],
)
def test_words_become_values(words: tuple[str, ...], name: str, value: Any) -> None:
    assert getattr(outer(*words), name) == value


def test_groups_are_filled_by_name_from_their_defaults() -> None:
    assert outer("--units", "4", "--no_deep").inner == Inner((4,), deep=False)
    default = Outer("y", inner=Inner((2,)))
    assert parse(Outer, ["--no-deep"], "try", default).inner == Inner((2,), deep=False)
    assert parse(Outer, [], "try", default) == default


def test_arguments_without_flags_are_taken_in_their_order() -> None:
    assert parse(Two, ["a"], "try") == Two(Path("a"))
    assert parse(Two, ["a", "b"], "try") == Two(Path("a"), "b")
    several = parse_with_argument(
        Inner, ["a", "--no-deep", "b"], "esengine try", "files", "Files.", tuple[Path, ...]
    )
    assert several == ((Path("a"), Path("b")), Inner(deep=False))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kinds", "one"), r"those of try, got --kinds; did you mean --kind\?"),
        (("--qqq",), "those of try, got --qqq; try --help lists them"),
        (("--kind", "on"), r"--kind must be one of one, two, got 'on'; did you mean one\?"),
        (("--kind",), r"--kind must have a value, got none; write --kind one\|two"),
        (("--rate", "--force"), "--rate must have a value, got none; write --rate X"),
        (("--rate", "fast"), "--rate must be a number, got 'fast'; for example --rate 0.5"),
        (("--units", "4", "x"), "--units must be a whole number, got 'x'; for example --units 16"),
        (("--start", "a", "b"), "--start must be a number, numbers or a path, got a, b"),
        (("--pair", "1"), "--pair must have 2 values, got 1"),
        (("--force=yes",), "--force takes no value, got --force=yes; write --force"),
        (("--force", "yes"), "words must follow a flag of try that takes them, got 'yes'"),
        (("-v",), "words must follow a flag of try that takes them, got '-v'"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told):
        outer(*words)


def test_what_is_missing_is_described() -> None:
    with pytest.raises(
        UserError, match=r"^try must have --name TEXT, got none; that is: The name of it\.$"
    ):
        parse(Outer, [], "esengine try")
    with pytest.raises(UserError, match=r"^try must have FIRST, got none; that is: A file\.$"):
        parse(Two, [], "try")
