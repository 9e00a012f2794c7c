"""The best point of a noisy objective, and what ``best.json`` says it is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esengine
from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from tests.support.runs import same_run

SETTINGS: dict[str, Any] = {"dimension": 3, "minimize": True, "generations": 30}


def sphere(x: np.ndarray) -> float:
    return float(np.sum(x**2))


def noisy_sphere(x: np.ndarray, seed: int) -> float:
    """A squared distance under noise of variance 1."""
    return sphere(x) + float(np.random.default_rng(seed).normal())


def test_the_best_value_of_a_noisy_objective_is_unbiased() -> None:
    errors = []
    for seed in range(12):
        settings = SETTINGS | {"final_episodes": 50, "seed": seed}
        settings.pop("minimize")
        result = esengine.minimize(noisy_sphere, method="cma-es", **settings)
        assert result.best_value is not None
        assert result.best_point is not None
        errors.append(result.best_value - sphere(result.best_point))
    standard_error = 1 / np.sqrt(12 * 50)
    assert abs(np.mean(errors)) < 4 * standard_error  # the least of 210 noisy values is 2.7 too low


def run(path: Path, objective: str = "noisy_sphere", **settings: Any) -> dict[str, Any]:
    esengine.train("cma-es", objective=f"{__name__}:{objective}", run_dir=path, **settings)
    best: dict[str, Any] = json.loads((path / "best.json").read_text())
    return best


def test_best_json_tells_of_how_many_evaluations_its_value_is_the_mean(tmp_path: Path) -> None:
    assert run(tmp_path / "noisy", final_episodes=7, **SETTINGS)["evaluations"] == 7
    assert "evaluations" not in run(tmp_path / "plain", "sphere", **SETTINGS)
    done = RunDirectory(tmp_path / "noisy").done()
    best = RunDirectory(tmp_path / "noisy").best()
    assert done is not None
    assert done["best_fitness"] == -best["value"]


@pytest.mark.parametrize("generations", [1, 14])
def test_a_noisy_run_that_is_given_more_to_do_ends_as_one_that_never_stopped(
    tmp_path: Path, generations: int
) -> None:
    from esengine.launch.training.start_and_resume import resume
    from esengine.ranks import StopRequest

    run(tmp_path / "straight", **SETTINGS)
    run(tmp_path / "run", **SETTINGS | {"generations": generations})
    resume(tmp_path / "run", {"generations": 30}, True, True, StopRequest())
    same_run(tmp_path / "straight", tmp_path / "run")


def test_a_target_of_a_noisy_objective_is_reached_by_a_mean(tmp_path: Path) -> None:
    target: dict[str, Any] = {
        "target_return": -1.0
    }  # what no point is worth, but many single values are
    run(tmp_path / "run", **SETTINGS | target)
    done = RunDirectory(tmp_path / "run").done()
    assert done is not None
    assert done["reason"] == "30 generations"
    with pytest.raises(UserError, match="target_return needs evaluations of a noisy objective"):
        esengine.minimize(noisy_sphere, 3, eval_every=0, **target)
