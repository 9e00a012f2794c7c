"""The augmented Lagrangian between pool and strategy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.algorithms.constraints import AugmentedLagrangian, violations
from esengine.algorithms.constraints.lagrangian import penalties
from esengine.candidates import (
    KINDS,
    AntitheticPairs,
    Candidates,
    GivenPoints,
    MutatedParents,
    WithPoint,
)
from esengine.noise import CounterNoise

Floats = NDArray[np.float64]
NOISE = CounterNoise()


def test_the_penalty_is_that_of_the_paper_and_smooth_where_it_ends() -> None:
    multipliers, factors = np.array([2.0, 0.0]), np.array([4.0, 0.0])
    g = np.array([[1.0, 5.0], [0.0, 5.0], [-0.5, 5.0], [-3.0, 5.0]])
    assert penalties(g, multipliers, factors).tolist() == [4.0, 0.0, -0.5, -0.5]


def test_members_are_ranked_by_violation_until_one_is_feasible() -> None:
    lagrangian = AugmentedLagrangian(2, 2)
    g = np.array([[1.0, 2.0], [0.5, -1.0], [np.nan, 0.0]])
    told = lagrangian.fitness(np.array([9.0, 1.0, 5.0]), g, 0.0, np.ones(2))
    assert told.tolist() == [-5.0, -0.25, -np.inf]
    assert violations(g[:2]).tolist() == [5.0, 0.25]
    lagrangian.fitness(np.array([9.0, 1.0]), np.array([[1.0, 2.0], [-1.0, 0.0]]), 0.0, np.ones(2))
    assert lagrangian.has_feasible
    assert lagrangian.metrics() == {"feasible_share": 0.5, "violation_min": 0.0}


def test_feasible_populations_are_told_what_they_were_worth() -> None:
    lagrangian = AugmentedLagrangian(3, 1)
    fitness = np.array([1.0, 2.0, 3.0])
    told = lagrangian.fitness(fitness, -np.ones((3, 1)), 2.0, -np.ones(1))
    assert told.tolist() == fitness.tolist()


def test_the_first_coefficients_are_scaled_by_the_spreads() -> None:
    lagrangian = AugmentedLagrangian(4, 1)
    cost = np.arange(5.0)
    g = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    lagrangian.fitness(-cost, g, np.nan, np.full(1, np.nan))
    assert lagrangian.multipliers[0] == pytest.approx(2 / (4 * 2))  # iqr(f) / (n iqr(g))
    assert lagrangian.factors[0] == pytest.approx(0.25 / 2)  # as much as l / max |g|, above 0.4 l


def test_the_multiplier_of_a_constraint_that_is_not_met_grows_and_never_below_zero() -> None:
    lagrangian = AugmentedLagrangian(4, 1)
    g = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    fitness = -np.arange(5.0)
    lagrangian.fitness(fitness, g, 0.0, np.array([1.0]))
    factor = 0.125
    assert lagrangian.multipliers[0] == pytest.approx(0.25 + factor / 5)
    assert lagrangian.factors[0] == pytest.approx(factor * 2 ** (1 / 80))
    for _ in range(50):
        lagrangian.fitness(fitness, g, 0.0, np.array([-0.5]))
    assert lagrangian.multipliers[0] >= 0


def test_a_search_that_ended_outside_is_followed_by_one_with_larger_factors() -> None:
    lagrangian = AugmentedLagrangian(2, 1)
    fitness = -np.arange(5.0)
    g = np.array([[-2.0], [-1.0], [0.0], [1.0], [2.0]])
    lagrangian.fitness(fitness, g, 0.0, np.array([0.0]))  # feasible, and worth 0
    lagrangian.fitness(fitness, g, 3.0, np.array([0.5]))
    lagrangian.begin_search()
    assert lagrangian.least_factor == pytest.approx(4 * 2 * 3 / 0.25)
    lagrangian.fitness(fitness, g, 0.0, np.array([-0.1]))
    assert lagrangian.factors[0] >= lagrangian.least_factor
    lagrangian.fitness(fitness, g, 1e-9, np.array([1e-10]))  # it ended at the edge
    before = lagrangian.least_factor
    lagrangian.begin_search()
    assert lagrangian.least_factor == before


def test_a_restored_lagrangian_goes_on_alike() -> None:
    rng = np.random.default_rng(0)
    drawn = [(rng.normal(size=6), rng.normal(size=(6, 2)), rng.normal(size=2)) for _ in range(9)]
    whole, first, second = (AugmentedLagrangian(3, 2) for _ in range(3))
    for fitness, g, own in drawn[:5]:
        whole.fitness(fitness, g, 0.0, own)
        first.fitness(fitness, g, 0.0, own)
    second.restore(first.state())
    for fitness, g, own in drawn[5:]:
        expected = whole.fitness(fitness, g, 0.0, own)
        np.testing.assert_array_equal(second.fitness(fitness, g, 0.0, own), expected)


@pytest.mark.parametrize(
    "inner",
    [
        AntitheticPairs(3, 2, 4, 0.5, np.arange(3.0, dtype=np.float32)),
        MutatedParents(3, 2, 4, 0.5, parents=np.ones((2, 3), np.float32)),
        GivenPoints(3, 2, 4, np.arange(12.0).reshape(4, 3)),
    ],
)
def test_a_population_with_a_point_travels_whole_and_has_the_same_members(
    inner: Candidates,
) -> None:
    point = np.full(3, 9.0, inner.rows(NOISE, 0, 1).dtype)
    header, arrays = WithPoint.of(inner, point).publish(None)
    received = KINDS["WithPoint"].receive(header, arrays, None, NOISE)
    rows = received.rows(NOISE, 0, 5)
    np.testing.assert_array_equal(rows[:4], inner.rows(NOISE, 0, 4))
    np.testing.assert_array_equal(rows[4], point)
    for start, stop in ((1, 3), (3, 5), (4, 5)):
        np.testing.assert_array_equal(received.rows(NOISE, start, stop), rows[start:stop])
    assert received.search_population.population_size == 4
