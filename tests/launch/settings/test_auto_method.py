"""The method auto: what it takes for which objective, and that the run says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esengine
from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.auto_method import choose
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.start_and_resume import resume
from esengine.ranks import StopRequest


def sphere(x: np.ndarray) -> float:
    return float(np.sum(x**2))


def noisy(x: np.ndarray, seed: int) -> float:
    return sphere(x) + float(np.random.default_rng(seed).normal())


@pytest.mark.parametrize(
    ("settings", "is_noisy", "method", "surrogate"),
    [
        ({"dimension": 10}, False, "cma-es", "none"),
        ({"dimension": 10, "max_evaluations": 2000}, False, "cma-es", "lq"),
        ({"dimension": 10, "max_evaluations": 2001}, False, "cma-es", "none"),
        ({"dimension": 10, "max_evaluations": 1000}, True, "cma-es", "none"),
        (
            {"dimension": 10, "max_evaluations": 1000, "integer_variables": ("0",)},
            False,
            "cma-es",
            "none",
        ),
        ({"dimension": 41, "max_evaluations": 1000}, False, "cma-es", "none"),
        ({"dimension": 60, "max_evaluations": 1000}, False, "vkd-cma-es", "none"),
        ({"dimension": 60, "max_evaluations": 36_000}, False, "cma-es", "none"),
        ({"dimension": 501}, False, "vkd-cma-es", "none"),
        ({"dimension": 501}, True, "vkd-cma-es", "none"),
        ({"dimension": 600, "fixed_variables": ("0:550=1",)}, False, "cma-es", "none"),
    ],
)
def test_the_method_follows_from_the_objective(
    settings: dict[str, Any], is_noisy: bool, method: str, surrogate: str
) -> None:
    choice = choose(TrainSettings(objective="a:b", **settings), is_noisy)
    assert choice.method == method
    assert dict(choice.settings).get("surrogate", "none") == surrogate


def test_a_run_keeps_what_was_chosen_and_why(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"objective": f"{__name__}:sphere", "dimension": 4, "minimize": True}
    run = tmp_path / "run"
    result = esengine.train("auto", run_dir=run, max_evaluations=200, sigma=0.5, **settings)
    expected = "auto chose cma-es --surrogate lq: 4 parameters and 50 evaluations each, few enough"
    assert result.choice.startswith(expected)
    resume(run, {"max_evaluations": 220}, True, True, StopRequest())
    config = RunDirectory(run).config()
    search: Any = config.search
    assert config.method == "cma-es"
    assert config.choice == result.choice
    assert search.sigma == 0.5


def test_minimize_looks_at_the_function() -> None:
    result = esengine.minimize(noisy, 3, method="auto", max_evaluations=60)
    assert "with noise" in result.choice
    assert not esengine.minimize(sphere, 3, max_evaluations=60).choice


def test_the_command_line_takes_auto() -> None:
    words = f"--objective {__name__}:sphere --dimension 3 --minimize --population-size 6".split()
    config = parse_train(["auto", *words])
    assert config.method == "cma-es"
    assert getattr(config.search, "population_size", None) == 6


def test_auto_has_no_choice_for_environments() -> None:
    with pytest.raises(UserError, match="auto must be used with an objective"):
        esengine.train("auto", env_id="CartPole-v1")
