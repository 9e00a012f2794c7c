"""Shared checks: each message names the setting, the rule, the value and a way out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

from esengine.checks import (
    arguments_named,
    at_least,
    belong_to,
    finite,
    is_default,
    named_values,
    not_negative,
    one_of,
    positive,
    text_of,
    value_of,
    within,
)
from esengine.errors import UserError


@dataclass(frozen=True)
class Settings:
    """Some settings."""

    step_size: float = 0.5
    num_steps: int | None = None


@dataclass(frozen=True)
class PlannerSettings(Settings):
    """Settings that one flag sets."""

    set_by: ClassVar[str] = "--planner-arg"


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda it: at_least(it, 3, "step_size"), "must be at least 3, got 2; 0.5 is the default"),
        (lambda it: at_least(it, 3, "step_size", way_out="use 3"), "be at least 3, got 2; use 3"),
        (lambda it: within(it, 0, 1, "step_size"), "must lie between 0 and 1, got 2;"),
        (lambda it: within(it, 0, 2, "step_size", ends="[)"), "must lie in [0, 2), got 2;"),
        (lambda it: within(it, 2, 3, "step_size", ends="(]"), "must lie in (2, 3], got 2;"),
        (
            lambda it: belong_to(it, "--grid", "--line", "num_steps", "step_size"),
            "--step-size belongs to --grid, got --line; drop it",
        ),
    ],
)
def test_a_message_has_rule_value_and_way_out(check: Callable[[Any], None], message: str) -> None:
    with pytest.raises(UserError) as raised:
        check(Settings(step_size=2))
    assert message in str(raised.value)
    assert str(raised.value).startswith("--step-size ")


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_what_is_no_finite_number_is_refused(value: float) -> None:
    settings = Settings(step_size=value)
    with pytest.raises(UserError, match=f"--step-size must be positive, got {value}"):
        positive(settings, "step_size")
    with pytest.raises(UserError, match=f"--step-size must not be negative, got {value}"):
        not_negative(settings, "step_size")
    with pytest.raises(UserError, match="--step-size must lie between 0 and 1"):
        within(settings, 0, 1, "step_size")
    if not math.isfinite(value):
        with pytest.raises(UserError, match=f"--step-size must be finite, got {value}"):
            finite(settings, "step_size")


def test_a_setting_that_is_left_out_passes_and_valid_ends_do() -> None:
    settings = Settings(step_size=0)
    at_least(settings, 1, "num_steps")
    positive(settings, "num_steps")
    not_negative(settings, "num_steps", "step_size")
    within(settings, 0, 1, "num_steps", "step_size")
    belong_to(settings, "--grid", "--line", "num_steps")
    assert is_default(settings, "num_steps")
    assert not is_default(settings, "step_size")


def test_a_setting_of_a_planner_is_named_by_the_flag_that_sets_it() -> None:
    with pytest.raises(
        UserError, match=r"^--planner-arg step_size must be positive, got 0\.0; 0\.5"
    ):
        positive(PlannerSettings(step_size=0.0), "step_size")


def test_an_unknown_name_gets_the_nearest_or_the_way_out() -> None:
    one_of("--method", "adam", ("adam", "sgd"), "see --help")
    with pytest.raises(UserError, match="must be one of adam, sgd, got 'adm'; did you mean adam"):
        one_of("--method", "adm", ("adam", "sgd"), "see --help")
    with pytest.raises(UserError, match="got 'newton'; see --help"):
        one_of("--method", "newton", ("adam", "sgd"), "see --help")


def test_a_python_caller_reads_arguments() -> None:
    message = "--step-size needs --no-mirrored and mpirun --with-ft, got 0.5; see esengine --help"
    with pytest.raises(UserError) as raised, arguments_named():
        raise UserError(message)
    assert str(raised.value) == (
        "step_size needs mirrored=False and mpirun --with-ft, got 0.5; see esengine --help"
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("False", False),
        ("true", True),
        ("None", None),
        ("[1, [2.5, True]]", [1, [2.5, True]]),
        ("(0.8, inf)", [0.8, math.inf]),
        ("{'a': [None, false]}", {"a": [None, False]}),
        ("'1'", "1"),
        ('"True"', "True"),
        ("open", "open"),
        ("./one:two.xml", "./one:two.xml"),
    ],
)
def test_structured_values_survive_the_way_to_a_file_and_back(text: str, value: Any) -> None:
    found = value_of(text)
    again = value_of(text_of(found))
    assert (type(found), found) == (type(value), value)
    assert (type(again), again) == (type(value), value)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("[1, 2", "it ends too early"),
        ("(a, b)", "a part of it is no value"),
        ("FALSE", "write True, False or None"),
        ("nan", "write another number"),
        ("[NaN]", "NaN is no value"),
        ("{1, 2}", "files cannot keep a set"),
        ("{1: 2}", "keys of a table must be texts"),
        ("1+2j", "files cannot keep a complex"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused(text: str, rule: str) -> None:
    with pytest.raises(UserError) as raised:
        named_values("--env-arg", (f"wind={text}",), "wind=1")
    assert str(raised.value).startswith("--env-arg wind must be JSON, a Python literal or a plain")
    assert rule in str(raised.value)


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(UserError, match="must give each name once, got wind twice"):
        named_values("--env-arg", ("wind=1", "wind=2"), "wind=1")
