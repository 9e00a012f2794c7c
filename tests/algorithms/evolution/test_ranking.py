"""Ranks and weights: monotone, shift-invariant, and fair to ties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, strategies as st

from esengine.algorithms.evolution.cma_coefficients import Coefficients
from esengine.algorithms.evolution.ranking import (
    best_first,
    by_pair,
    by_rank,
    centred_ranks,
    is_flat,
    recombination_weights,
    selection_mass,
)

FITNESS = st.lists(st.integers(-3, 3), min_size=2, max_size=30).map(
    lambda values: np.array(values, float)
)


@given(FITNESS)
def test_better_members_never_weigh_less(fitness: np.ndarray) -> None:
    weights = np.sort(np.random.default_rng(0).standard_normal(fitness.size))[::-1]
    result = by_rank(fitness, weights)
    order = np.argsort(-fitness, kind="stable")
    assert (np.diff(result[order]) <= 1e-12).all()
    np.testing.assert_allclose(result.sum(), weights.sum(), atol=1e-12)


@given(FITNESS)
def test_ties_weigh_the_same(fitness: np.ndarray) -> None:
    result = by_rank(fitness, np.arange(fitness.size, dtype=float)[::-1])
    for value in np.unique(fitness):
        assert np.unique(result[fitness == value]).size == 1


@given(FITNESS, st.floats(0.1, 10), st.integers(-100, 100))
def test_order_preserving_changes_of_fitness_change_nothing(
    fitness: np.ndarray, scale: float, shift: int
) -> None:
    weights = np.arange(fitness.size, dtype=float)
    np.testing.assert_array_equal(
        by_rank(fitness, weights), by_rank(fitness * scale + shift, weights)
    )
    np.testing.assert_array_equal(
        best_first(fitness, 1, 2), best_first(fitness * scale + shift, 1, 2)
    )


def test_distinct_fitness_takes_the_weights_as_they_are() -> None:
    np.testing.assert_array_equal(
        by_rank(np.array([2.0, 3.0, -np.inf]), np.array([0.7, 0.3, -0.1])), [0.3, 0.7, -0.1]
    )


@given(FITNESS, st.integers(0, 100))
def test_best_first_is_an_order_by_fitness(fitness: np.ndarray, seed: int) -> None:
    order = best_first(fitness, seed, 1)
    assert sorted(order) == list(range(fitness.size))
    assert (np.diff(fitness[order]) <= 0).all()


@given(FITNESS)
def test_centred_ranks_add_up_to_nothing_and_span_at_most_one(fitness: np.ndarray) -> None:
    ranks = centred_ranks(fitness)
    np.testing.assert_allclose(ranks.sum(), 0, atol=1e-12)
    assert np.abs(ranks).max() <= 0.5


@pytest.mark.parametrize("size", [2, 3, 7, 1000, 10**6])
@pytest.mark.parametrize("value", [0.1, -np.inf])
def test_centred_ranks_of_flat_fitness_are_exactly_zero(size: int, value: float) -> None:
    assert not centred_ranks(np.full(size, value)).any()


def test_ties_are_drawn_by_seed_and_generation_not_by_position() -> None:
    flat = np.zeros(50)
    orders = {
        tuple(best_first(flat, seed, generation)) for seed in range(3) for generation in range(3)
    }
    assert len(orders) == 9
    firsts = [best_first(flat, seed, 1)[0] for seed in range(500)]
    assert np.bincount(firsts, minlength=50).max() < 30


@given(
    FITNESS.filter(lambda fitness: fitness.size >= 4 and not is_flat(fitness)), st.integers(0, 3)
)
def test_the_weights_of_a_mean_add_up_to_one_with_ties_and_failures(
    fitness: np.ndarray, num_failed: int
) -> None:
    fitness[np.argsort(fitness)[:num_failed]] = -np.inf
    weights = Coefficients.default(5, fitness.size, active=True).weights
    shares = recombination_weights(fitness, weights)
    np.testing.assert_allclose(shares.sum(), 1)
    assert (shares >= 0).all()
    assert not shares[np.isneginf(fitness)].any()


def test_members_that_failed_have_no_weight_in_the_mean_even_where_most_have() -> None:
    weights = Coefficients.default(5, 6, active=True).weights
    fitness = np.array([-np.inf, 1.0, -np.inf, -np.inf, 2.0, -np.inf])
    expected = (
        np.where(fitness == 2, weights[0], np.where(fitness == 1, weights[1], 0))
        / weights[:2].sum()
    )
    np.testing.assert_allclose(recombination_weights(fitness, weights), expected)


@pytest.mark.parametrize("rank", [by_rank, by_pair])
def test_distinct_fitness_has_the_mass_of_its_weights(rank: Callable[..., np.ndarray]) -> None:
    k = Coefficients.default(5, 12, active=True)
    shares = recombination_weights(np.random.default_rng(0).standard_normal(12), k.weights, rank)
    assert selection_mass(shares) == k.mu_eff


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_sum_of_steps_of_tied_members_is_as_long_as_its_mass_says(share: float) -> None:
    random, lengths = np.random.default_rng(0), []
    weights = Coefficients.default(5, 20, active=True).weights
    for _ in range(2000):
        fitness = (random.random(20) < share).astype(float)
        if not is_flat(fitness):
            shares = recombination_weights(fitness, weights)
            step = shares @ random.standard_normal((20, 5))
            lengths.append(selection_mass(shares) * step @ step)
    assert abs(np.mean(lengths) - 5) < 0.3  # three standard errors of 2,000 chi-square sums: 0.21
