"""Restarts: what runs when, and that a stop in between changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from esengine.algorithms.evolution.cma_es import CMAESSettings
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"restarts": "twice"}, "must be one of none, ipop, bipop"),
        ({"max_restarts": -1}, "at least 0, got -1; 0 makes none"),
        ({"concurrent_searches": 2}, "without --restarts"),
    ],
)
def test_bad_restarts_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CMAESSettings(**values).check()
