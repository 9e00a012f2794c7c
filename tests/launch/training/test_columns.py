"""Runs whose members return several named numbers, or are evaluated in batches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.launch.api import minimize
from tests.conftest import Run
from tests.support.launches import run_all
from tests.support.runs import rows, same_run
from tests.support.words import words

BUDGET = words("--generations 6 --checkpoint-every 2 --sigma 0.3")
BEAM = words("train cma-es --dimension 2 --minimize --returns cost g:stress m:speed")
CASES = {
    "dict": (*BEAM, "--objective", "simulations:beam", "--keep-members"),
    "noisy": (*BEAM, *words("--objective simulations:noisy_beam --episodes-per-member 2")),
    "batch": (*BEAM, *words("--objective simulations:beams --batch 4 --population-size 10")),
    "noisy batch": words(
        "train openai-es --objective simulations:noisy_many --dimension 3 --minimize --batch 3 "
        "--population-size 8"
    ),
    "environment": words(
        "train cma-es --env-id simulations:TestInformed-v0 --returns m:energy m:num_steps "
        "--population-size 6 --keep-members"
    ),
}


def members(run: Path) -> dict[str, np.ndarray]:
    parts = [np.load(path) for path in sorted((run / "members").iterdir())]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0].files}


@pytest.fixture(scope="module")
def on_ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on three workers, stopped and resumed on the way."""
    folder = tmp_path_factory.mktemp("on3")
    begun = [
        (*command, *BUDGET, "--generations", "3", "--run-dir", name.replace(" ", "-"))
        for name, command in CASES.items()
    ]
    again = [("resume", command[-1], "--generations", "6", "--trust-modules") for command in begun]
    run_all([*begun, *again], 3, folder)
    return folder


@pytest.mark.parametrize("name", CASES)
def test_ranks_and_a_resume_change_no_bit(
    esengine_here: Run, on_ranks: Path, tmp_path: Path, name: str
) -> None:
    result = esengine_here(*CASES[name], *BUDGET, *words("--ranks 1 --run-dir alone"))
    assert result.returncode == 0, result.stderr
    same_run(tmp_path / "alone", on_ranks / name.replace(" ", "-"))
    if "--keep-members" in CASES[name]:
        alone, other = members(tmp_path / "alone"), members(on_ranks / name)
        assert set(alone) == set(other)
        for column, array in alone.items():
            np.testing.assert_array_equal(other[column], array)


def test_columns_are_in_the_rows_the_best_point_and_the_members(
    esengine_here: Run, tmp_path: Path
) -> None:
    result = esengine_here(*CASES["dict"], *BUDGET, *words("--ranks 1 --run-dir run"))
    assert result.returncode == 0, result.stderr
    run = tmp_path / "run"
    quantiles = rows(run)[-1]["columns"]
    assert set(quantiles) == {"stress", "speed"}
    assert all(len(numbers) == 7 for numbers in quantiles.values())

    kept = members(run)
    points = kept["point"]
    assert points.shape == (36, 2)
    np.testing.assert_array_equal(kept["value"], np.sum(points**2, axis=1))
    np.testing.assert_array_equal(kept["stress"], 1 - points[:, 0])
    assert kept["generation"].tolist() == np.repeat(np.arange(1, 7), 6).tolist()

    best = json.loads((run / "best.json").read_text())
    assert best["columns"]["speed"] == pytest.approx(sum(best["point"]))
    feasible = kept["value"][kept["stress"] <= 0]
    assert best["feasible"] == bool(feasible.size)
    assert rows(run)[-1]["feasible_share"] <= 1


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("cma-es", {"sigma": 0.3}),
        ("sep-cma-es", {"sigma": 0.3}),
        ("snes", {"sigma": 0.3, "population_size": 20}),
        ("openai-es", {"sigma": 0.1, "population_size": 20}),
        ("truncation-es", {"sigma": 0.1, "population_size": 40}),
        ("pycma", {"sigma": 0.3}),
    ],
)
def test_every_strategy_finds_the_best_feasible_point(
    method: str, settings: dict[str, Any]
) -> None:
    def cost(x: Any) -> dict[str, float]:
        return {"cost": float(np.sum(x**2)), "limit": float(1 - x[0])}

    columns: dict[str, Any] = {"returns": ["cost", "g:limit"], "max_evaluations": 2400}
    result = minimize(cost, 2, method=method, **columns, **settings)
    assert result.best_point is not None
    assert result.is_feasible
    assert result.best_columns == {"limit": 1 - result.best_point[0]}
    assert result.best_point[0] >= 1
    assert result.best_value == pytest.approx(1, abs=0.1)


def test_a_search_that_ends_outside_is_followed_by_one_that_ends_at_the_edge() -> None:
    def problem(x: Any) -> list[float]:  # 12.19 of Nocedal and Wright, with a solution in (0, 1)
        return [-2 * x[0] + x[1], x[1] - (1 - x[0]) ** 3, 1 - 0.25 * x[0] ** 2 - x[1]]

    result = minimize(
        problem,
        [-1.0, 1.0],
        0.5,
        seed=2,
        returns=["cost", "g:above", "g:below"],
        max_evaluations=6000,
        target_return=1 + 1e-6,
        quiet=True,
    )
    assert result.is_feasible
    assert result.best_value is not None
    assert result.best_value < 1 + 1e-6
    assert result.rows[-1]["restarts"] > 0


def test_the_least_violation_is_kept_while_no_point_is_feasible(
    esengine_here: Run, tmp_path: Path
) -> None:
    start = words("train cma-es --dimension 2 --minimize --ranks 1 --run-dir run --generations 3")
    box = words("--lower-bound -1 --upper-bound 0.5")  # and a stress of at least 0.5
    columns = words("--objective simulations:beam --returns cost g:stress m:speed --sigma 0.1")
    result = esengine_here(*start, *box, *columns)
    assert result.returncode == 0
    assert "no point met all constraints; nearest value" in result.stdout
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["feasible"] is False
    stress = [min(row["columns"]["stress"]) for row in rows(tmp_path / "run")]
    assert best["columns"]["stress"] <= min(stress)
    assert rows(tmp_path / "run")[-1]["cost_min"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--objective simulations:later --returns cost g:stress", "got also speed"),
        ("--objective simulations:wrong_shape --batch 4", "must return an array of shape (4,)"),
        ("--objective simulations:beam", "got a dict"),
        ("--objective simulations:beam --returns g:stress", "must name one value"),
        ("--objective simulations:beam --batch 0", "--batch must be at least 1, got 0"),
    ],
)
def test_an_objective_that_does_not_fit_its_columns_is_refused(
    esengine_here: Run, arguments: str, message: str
) -> None:
    start = words("train cma-es --dimension 2 --minimize --ranks 1 --run-dir run")
    result = esengine_here(*start, *words(arguments))
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_column_that_appears_later_fails_its_members(esengine_here: Run, tmp_path: Path) -> None:
    start = words(
        "train cma-es --dimension 2 --minimize --ranks 1 --run-dir run --generations 3 --max-failed-fraction 0.9"
    )
    columns = words("--objective simulations:later --returns cost g:stress m:speed")
    assert esengine_here(*start, *columns).returncode == 0
    failures = (tmp_path / "run" / "failures.jsonl").read_text()
    assert "must return the columns of --returns at every evaluation, got also weight" in failures


def test_columns_belong_to_environments_that_are_stepped(esengine_here: Run) -> None:
    start = words("train cma-es --env-id CartPole-v1 --ranks 1 --returns m:energy")
    result = esengine_here(*start, "--env-backend", "compiled")
    assert result.returncode == 2
    assert "--returns must be used with an environment that is stepped" in result.stderr
