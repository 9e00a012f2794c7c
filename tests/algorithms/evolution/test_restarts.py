"""Restarts: what runs when, and that a stop in between changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import esengine
from esengine.algorithms import LMMAESSettings, SepCMAESSettings, VkDCMAESSettings
from esengine.algorithms.evolution.cma_es import CMAESSettings
from esengine.algorithms.trial_runs import same
from esengine.errors import UserError
from esengine.launch.training.start_and_resume import resume
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import StopRequest, World
from tests.support.runs import rows

NOISE = create_table(0, 18, 64, None)


def rastrigin(x: np.ndarray) -> float:
    return float(10 * x.size + np.sum(x**2 - 10 * np.cos(2 * np.pi * x)))


def advance(strategy: Any, generations: int) -> list[int]:
    """The population size of each generation."""
    pool = Pool(World(), RankState(NOISE, ObjectiveProblem(rastrigin, 4, minimize=True), None))
    sizes: list[int] = []
    while len(sizes) < generations and strategy.should_stop() is None:
        candidates = strategy.ask()
        sizes.append(candidates.population_size)
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    return sizes


def settings(restarts: Any, most: int, at_once: int = 1) -> CMAESSettings:
    return CMAESSettings(
        restarts=restarts,
        max_restarts=most,
        concurrent_searches=at_once,
        tolerance_fun=1e-3,
        tolerance_fun_history=1e-3,
    )


def test_ipop_doubles_the_population_until_its_last_restart() -> None:
    strategy: Any = settings("ipop", 2).strategy(np.full(4, 3.0), 0)
    sizes = advance(strategy, 3000)
    assert sorted(set(sizes)) == [8, 16, 32]
    assert sizes == sorted(sizes)
    assert "2 restarts" in str(strategy.should_stop())
    assert rastrigin(strategy.parameters()) < 3


def test_bipop_gives_small_searches_as_many_evaluations_as_large_ones() -> None:
    strategy: Any = settings("bipop", 3).strategy(np.full(4, 3.0), 1)
    sizes = advance(strategy, 6000)
    assert sizes[0] == 8
    assert max(sizes) == 64
    large, small = strategy._used
    assert 0.3 * large < small < 1.6 * large
    assert strategy.metrics()["restarts"] > 4


@pytest.mark.parametrize(("restarts", "at_once"), [("ipop", 1), ("bipop", 1), ("bipop", 3)])
def test_a_search_that_is_resumed_after_restarts_goes_on_bit_for_bit(
    restarts: str, at_once: int
) -> None:
    straight, stopped, resumed = (
        settings(restarts, 3, at_once).strategy(np.full(4, 3.0), 1) for _ in range(3)
    )
    advance(straight, 250)
    advance(stopped, 180)
    assert stopped.metrics()["restarts"] > 0
    resumed.restore({name: np.array(array) for name, array in stopped.state().items()})
    advance(resumed, 70)
    one, two = straight.state(), resumed.state()
    assert list(one) == list(two)
    assert all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("restarts", ["ipop", "bipop"])
def test_searches_at_the_same_time_are_those_that_run_alone(restarts: Any) -> None:
    """Each is told its own members and sums over them alone: the first does what it does without
    the others.
    """
    together: Any = settings(restarts, 4, 3).strategy(np.full(4, 3.0), 1)
    alone: Any = replace(settings(restarts, 4), restarts="none").strategy(np.full(4, 3.0), 1)
    assert advance(together, 20) == [8 + 16 + 32] * 20
    advance(alone, 20)
    np.testing.assert_array_equal(together.running[0].strategy.mean, alone.mean)
    np.testing.assert_array_equal(together.running[0].strategy.C, alone.C)
    sizes = advance(together, 3000)
    assert len(set(sizes)) > 3
    assert "4 restarts" in str(together.should_stop()) or restarts == "bipop"
    assert rastrigin(together.parameters()) < 2


@pytest.mark.parametrize("kind", [CMAESSettings, SepCMAESSettings, VkDCMAESSettings])
def test_an_endless_search_keeps_its_largest_population(kind: Any) -> None:
    strategy: Any = kind(restarts="endless", max_restarts=1, tolerance_fun=0.1).strategy(
        np.full(4, 3.0), 1
    )
    sizes = advance(strategy, 700)
    assert len(sizes) == 700
    assert max(sizes) == 16
    assert strategy.metrics()["restarts"] > 3
    assert rastrigin(strategy.parameters()) < 2


@pytest.mark.parametrize("kind", [SepCMAESSettings, VkDCMAESSettings, LMMAESSettings])
@pytest.mark.parametrize("at_once", [1, 2])
def test_other_methods_resume_after_restarts_bit_for_bit(kind: Any, at_once: int) -> None:
    made = kind(restarts="endless", concurrent_searches=at_once, tolerance_fun=3.0)
    straight, stopped, resumed = (made.strategy(np.full(4, 3.0), 1) for _ in range(3))
    advance(straight, 180)
    advance(stopped, 150)
    assert stopped.metrics()["restarts"] > 0
    resumed.restore({name: np.array(array) for name, array in stopped.state().items()})
    advance(resumed, 30)
    assert same(straight, resumed)


def test_a_run_with_a_budget_uses_it_and_reports_its_restarts(tmp_path: Path) -> None:
    run: dict[str, Any] = {"objective": f"{__name__}:rastrigin", "dimension": 4, "minimize": True}
    result = esengine.train("cma-es", run_dir=tmp_path / "all", max_evaluations=6000, **run)
    assert result.reason.startswith("6,") or "evaluations" in result.reason
    assert "restart" in result.reason
    assert rows(tmp_path / "all")[-1]["evaluations"] >= 6000
    alone = esengine.train(
        "cma-es", run_dir=tmp_path / "one", max_evaluations=6000, restarts="none", **run
    )
    assert rows(tmp_path / "one")[-1]["evaluations"] < 3000
    assert result.best_value is not None
    assert alone.best_value is not None
    assert result.best_value <= alone.best_value


def test_a_run_that_has_ended_goes_on_with_a_budget(tmp_path: Path) -> None:
    run: dict[str, Any] = {"objective": f"{__name__}:rastrigin", "dimension": 4, "minimize": True}
    result = esengine.train("cma-es", run_dir=tmp_path / "run", **run)
    assert "spans less" in result.reason
    used = rows(tmp_path / "run")[-1]["evaluations"]
    resume(tmp_path / "run", {"max_evaluations": 2 * used}, True, True, StopRequest())
    assert rows(tmp_path / "run")[-1]["restarts"] > 0


def test_a_run_after_restarts_warm_starts_another(tmp_path: Path) -> None:
    run: dict[str, Any] = {"objective": f"{__name__}:rastrigin", "dimension": 4, "minimize": True}
    esengine.train("cma-es", run_dir=tmp_path / "first", max_evaluations=3000, **run)
    warm = str(tmp_path / "first")
    esengine.train("cma-es", run_dir=tmp_path / "next", generations=2, warm_start=warm, **run)
    assert rows(tmp_path / "next")[0]["sigma"] != pytest.approx(1, rel=0.5)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"restarts": "twice"}, "must be one of auto, none, ipop, bipop, endless"),
        ({"max_restarts": -1}, "at least 0, got -1; 0 makes none"),
        ({"concurrent_searches": 2}, "without --restarts"),
    ],
)
def test_bad_restarts_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CMAESSettings(**values).check()
