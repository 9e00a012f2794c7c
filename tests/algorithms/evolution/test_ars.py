"""ARS against ten lines of NumPy, its choice of directions, and returns that differ by nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.algorithms import ARS, ARSSettings
from esengine.algorithms.evolution.ars import step_weights, top_pairs
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

NOISE = create_table(0, 18, 64, None)


def pool_for(function: Any, n: int) -> Pool:
    return Pool(World(), RankState(NOISE, ObjectiveProblem(function, n), None))


@pytest.mark.parametrize("top", [None, 3])
def test_a_generation_is_that_of_ten_lines_of_numpy(top: int | None) -> None:
    n, size, sigma, alpha = 9, 20, 0.3, 0.2
    ours = ARS(
        ARSSettings(population_size=size, sigma=sigma, step_size=alpha, top_directions=top),
        np.ones(n),
        5,
    )
    pool = pool_for(lambda x: -float(np.sum(x**2)), n)
    mean = np.ones(n)
    for generation in range(1, 5):
        starts = NOISE.starts(5, generation, np.arange(size // 2))
        noise = np.array([NOISE.table[start : start + n] for start in starts], np.float64)
        plus = np.array([-np.sum((mean + sigma * row) ** 2) for row in noise])
        minus = np.array([-np.sum((mean - sigma * row) ** 2) for row in noise])
        kept = np.argsort(-np.maximum(plus, minus))[:top]
        sigma_r = np.std([plus[kept], minus[kept]])
        mean = mean + alpha / (len(kept) * sigma_r) * (plus - minus)[kept] @ noise[kept]
        candidates = ours.ask()
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-12)


def test_tied_directions_are_drawn_by_seed_and_no_more_than_asked() -> None:
    chosen = [top_pairs(np.ones(40), 3, seed, 1) for seed in range(400)]
    assert {len(pairs) for pairs in chosen} == {3}
    counts = np.bincount(np.concatenate(chosen), minlength=20)
    assert counts.min() > 30
    assert counts.max() < 95
    np.testing.assert_array_equal(top_pairs(np.ones(40), 3, 7, 1), chosen[7])


def test_a_pair_with_a_failed_member_is_never_kept() -> None:
    fitness = np.array([9.0, -np.inf, 1.0, 2.0, -np.inf, 8.0, 0.0, 1.0])
    np.testing.assert_array_equal(top_pairs(fitness, 3, 0, 1), [1, 3])
    np.testing.assert_array_equal(top_pairs(fitness, None, 0, 1), [1, 3])
    assert top_pairs(np.full(8, -np.inf), 2, 0, 1).size == 0


@pytest.mark.parametrize("value", [0.1, -1e12, 500.0])
def test_equal_returns_give_no_step(value: float) -> None:
    np.testing.assert_array_equal(
        step_weights(np.full(3, value), np.full(3, value), 1.0), np.zeros(3)
    )
    assert step_weights(np.zeros(0), np.zeros(0), 1.0).size == 0


def test_the_two_returns_of_a_single_direction_differ_by_two_deviations() -> None:
    np.testing.assert_allclose(step_weights(np.array([7.0]), np.array([3.0]), 0.25), [0.5])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"population_size": 9}, "since members come in pairs, got 9; use 10"),
        ({"sigma": 0.0}, "--sigma must be positive, got 0.0"),
        ({"step_size": -1.0}, "--step-size must be positive, got -1.0"),
        ({"top_directions": 17}, "--top-directions must be at most the 7 pairs"),
        ({"top_directions": 0}, "got 0; leave it out to keep all"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ARS(ARSSettings(**settings), np.zeros(3), 0)


def test_huge_returns_give_the_step_of_returns_of_another_unit() -> None:
    plus, minus = np.array([1.0, -0.5, 0.25]), np.array([0.5, 0.75, -1.0])
    usual = step_weights(plus, minus, 0.1)
    for unit in (1e120, 1e160, 1.7e308):
        np.testing.assert_allclose(step_weights(plus * unit, minus * unit, 0.1), usual, rtol=1e-12)
