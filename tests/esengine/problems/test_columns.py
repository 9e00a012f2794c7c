from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.candidates import GivenPoints
from esengine.errors import NotFiniteError, UserError
from esengine.problems import Columns, GeneralObjective, MembersFailed

COLUMNS = Columns.parse(("m:speed", "cost", "g:stress"), has_value=True)


def test_columns_are_read_in_any_form_with_the_value_first() -> None:
    expected = [3.0, 1.0, 2.0]
    forms: list[Any] = [
        {"cost": 3, "stress": 2, "speed": 1},
        (1, 3, 2),
        np.array([1.0, 3.0, 2.0]),
        [1, np.array([3.0]), 2],
    ]
    for returned in forms:
        assert COLUMNS.read(returned).tolist() == expected
    assert [column.name for column in COLUMNS.others] == ["speed", "stress"]
    assert COLUMNS.constraints.tolist() == [1]


def test_columns_of_a_batch_have_a_row_for_each_member() -> None:
    rows = np.arange(6.0).reshape(2, 3)
    table = dict(zip(COLUMNS.names, rows.T, strict=True))
    for returned in (rows, table):
        assert COLUMNS.read_many(returned, 2).tolist() == [[1, 0, 2], [4, 3, 5]]
    alone = Columns.parse(("cost",), has_value=True)
    assert alone.read_many([1.0, 2.0], 2).tolist() == [[1], [2]]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ({"cost": 1, "speed": 2}, "lacks stress"),
        ({"cost": 1, "speed": 2, "stress": 3, "mass": 4}, "got also mass"),
        ((1, 2), "must return 3 numbers, or a table of speed, cost, stress, got a tuple of 2"),
        (1.0, "got a float: 1.0"),
        ({"cost": "high", "speed": 2, "stress": 3}, "the column cost must be one number"),
    ],
)
def test_what_an_evaluation_returns_must_have_the_columns(returned: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        COLUMNS.read(returned)


@pytest.mark.parametrize(
    ("texts", "has_value", "message"),
    [
        (("g:stress",), True, "must name one value without a kind, got none"),
        (("a", "b"), True, "must name one value without a kind, got a, b"),
        (("cost", "g:cost"), True, "must give each name once, got cost twice"),
        (("cost", "h:stress"), True, "g:name for a constraint or m:name for a measure"),
        (("cost", "m:"), True, "g:name for a constraint or m:name for a measure"),
        (("cost", "m:generation"), True, "must be none of"),
        (("cost",), False, "where the value is the return of an episode, got cost"),
    ],
)
def test_names_that_make_no_columns_are_refused(
    texts: tuple[str, ...], has_value: bool, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        Columns.parse(texts, has_value)


def test_an_info_without_a_column_or_with_an_infinite_one_is_refused() -> None:
    columns = Columns.parse(("m:energy",), has_value=False)
    assert columns.read_info({"energy": 2, "other": "text"}).tolist() == [2]
    with pytest.raises(UserError, match="lacks energy; it has other"):
        columns.read_info({"other": 1})
    with pytest.raises(NotFiniteError, match="the column energy must be finite, got inf"):
        columns.read_info({"energy": np.inf})


def test_a_member_with_a_column_that_is_not_finite_fails_alone() -> None:
    def function(points: Any) -> Any:
        return np.array([[1.0, x, np.inf if x == 2 else 0.0] for x in points[:, 0]])

    columns = Columns.parse(("cost", "m:x", "g:limit"), has_value=True)
    problem = GeneralObjective(function, 1, columns=columns, batch=2)
    candidates = GivenPoints(0, 1, 4, np.arange(4.0)[:, None])
    assert problem.members_together(4) == 2
    with pytest.raises(MembersFailed) as failed:
        problem.evaluate(candidates, 0, candidates.points)
    assert failed.value.records["status"].tolist() == [0, 0, 1, 0]
    assert [failure["member"] for failure in failed.value.failures] == [2]
    assert failed.value.arrays["columns"][3].tolist() == [3, 0]


def test_a_batch_that_raises_fails_all_its_members_and_no_others() -> None:
    def function(points: Any) -> Any:
        if (points == 0).any():
            raise ZeroDivisionError("the simulator diverged")
        return points[:, 0]

    problem = GeneralObjective(function, 1, batch=2)
    candidates = GivenPoints(0, 1, 4, np.arange(4.0)[:, None])
    with pytest.raises(MembersFailed) as failed:
        problem.evaluate(candidates, 0, candidates.points)
    assert failed.value.records["status"].tolist() == [1, 1, 0, 0]
    assert failed.value.records["fitness"][2:].tolist() == [2, 3]
