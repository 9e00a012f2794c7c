from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine import minimize
from esengine.errors import UserError
from esengine.launch.settings.train_settings import TrainSettings


def to_the_right(point: np.ndarray[Any, Any]) -> float:
    return float(np.sum((point - np.arange(point.size)) ** 2))


@pytest.mark.parametrize(
    "method", ["cma-es", "sep-cma-es", "openai-es", "truncation-es", "snes", "lm-ma-es"]
)
def test_every_method_searches_within_the_space(method: str) -> None:
    whole: dict[str, Any] = (
        {} if method in ("snes", "lm-ma-es") else {"integer_variables": [2, "3:4"]}
    )
    seen: list[Any] = []

    def cost(point: np.ndarray[Any, Any]) -> float:
        seen.append(point.copy())
        return to_the_right(point)

    result = minimize(
        cost,
        5,
        method=method,
        lower_bound=-1,
        upper_bound=[9, 9, 9, 9, 2.5],
        fixed_variables=["0=0.25"],
        sigma=1.0,
        generations=60,
        **whole,
    )
    points = np.array(seen)
    assert (points[:, 0] == 0.25).all()
    assert (points >= -1).all()
    assert (points[:, 4] <= 2.5).all()
    if whole:
        np.testing.assert_array_equal(points[:, 2:4], np.round(points[:, 2:4]))
    assert result.best_point is not None
    assert result.best_value == to_the_right(result.best_point)
    assert to_the_right(result.parameters) < 4.5
    assert result.parameters.shape == (5,)


def test_numbers_come_from_files_too(tmp_path: Path) -> None:
    (tmp_path / "lower.txt").write_text("0\n-inf\n2\n")
    np.save(tmp_path / "upper.npy", np.array([1.0, 2, 3]))
    settings = TrainSettings(
        objective="m:f",
        dimension=3,
        lower_bound=tmp_path / "lower.txt",
        upper_bound=tmp_path / "upper.npy",
        fixed_variables=("1=0",),
    )
    assert settings.read_files() == {"lower_bound": (0, -np.inf, 2), "upper_bound": (1, 2, 3)}
    space = settings.space(3)
    assert space.dimension == 2
    np.testing.assert_array_equal(settings.start(space), [0.5, 0, 2.5])


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (
            "--lower-bound must be below --upper-bound, got 3 for variable 0",
            {"lower_bound": 3.0, "upper_bound": 2.0},
        ),
        (
            "--lower-bound must be one number or 3, one per variable, got 2",
            {"lower_bound": (1.0, 2.0)},
        ),
        (
            "--lower-bound must be numbers, or a .npy or text file",
            {"lower_bound": Path("nowhere.txt")},
        ),
        ("must lie within the bounds, got 0 for variable 0", {"lower_bound": 1.0}),
        ("--initial-mean must be finite, got inf", {"initial_mean": np.inf}),
        ("--variable-scales must be positive, got 0", {"variable_scales": 0.0}),
        (
            "--fixed-variables must be variables from 0 to 2, or a range such as 0:3, got '7'",
            {"fixed_variables": ("7=1",)},
        ),
        ("--fixed-variables must be number=value, got '1=x'", {"fixed_variables": ("1=x",)}),
        ("--fixed-variables must leave a variable to search", {"fixed_variables": (":=0",)}),
        (
            "must lie within the bounds, whole where the variable is",
            {"fixed_variables": ("1=.5",), "integer_variables": (1,)},
        ),
        ("--integer-variables must be variables from 0 to 2", {"integer_variables": ("2:9",)}),
        (
            "must have a whole number between bounds",
            {"integer_variables": (0,), "lower_bound": 0.2, "upper_bound": 0.8},
        ),
    ],
)
def test_a_space_that_cannot_be_is_refused(words: str, given: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        TrainSettings(objective="m:f", dimension=3, **given).check()
    assert words in str(error.value)


def test_what_does_not_go_together_with_a_space_is_refused() -> None:
    with pytest.raises(UserError, match="--lower-bound belongs to --objective"):
        TrainSettings(env_id="CartPole-v1", lower_bound=0.0).check()
    with pytest.raises(
        UserError, match=r"whose steps stay wide enough for them, got snes; use cma-es"
    ):
        minimize(to_the_right, 3, method="snes", integer_variables=[1])
    with pytest.raises(
        UserError,
        match=r"^sigma must be at most the width of the bounds, 0.1 for variable 0, got 1",
    ):
        minimize(to_the_right, 3, lower_bound=0, upper_bound=[0.1, 9, 9])
