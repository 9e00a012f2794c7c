from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from esengine.algorithms import CMAESSettings, SepCMAESSettings
from esengine.algorithms.evolution.integer_margin import Margin
from esengine.algorithms.trial_runs import advance, pool_for, same
from esengine.problems.search_space import Lattice, SearchSpace

ALPHA = 0.01


@pytest.mark.parametrize("deviation", [1e-6, 0.05, 0.4, 3.0, 1e4])
def test_a_whole_number_next_to_the_mean_keeps_its_probability(deviation: float) -> None:
    lattice = Lattice(
        np.arange(4), np.array([-np.inf, 0, 0, 0]), np.array([np.inf, 1, 1, 9]), np.ones(4)
    )
    start, factors = np.array([2.49, 0.01, 1.7, 4.0]), np.ones(4)
    mean, factors = Margin(lattice, ALPHA).corrected(start, np.full(4, deviation), factors)
    scale = deviation * factors
    for i, (low, high) in {0: (1.5, 2.5), 3: (3.5, 4.5)}.items():
        beyond = [norm.cdf(low, mean[i], scale[i]), norm.sf(high, mean[i], scale[i])]
        assert min(*beyond, 1 - sum(beyond)) >= ALPHA / 2 * (1 - 1e-6)
        assert low <= mean[i] <= high
    for i in (1, 2):
        assert norm.cdf(0.5, mean[i], scale[i]) == pytest.approx(
            np.clip(norm.cdf(0.5, start[i], deviation), ALPHA, 1 - ALPHA)
        )
    assert factors[1] == factors[2] == 1


def test_a_margin_leaves_alone_what_is_wide_enough() -> None:
    lattice = Lattice(np.array([1]), np.array([-np.inf]), np.array([np.inf]), np.array([0.5]))
    mean, factors = Margin(lattice, ALPHA).corrected(
        np.array([0.1, 4.2]), np.array([1e-9, 2.0]), np.ones(2)
    )
    np.testing.assert_array_equal(mean, [0.1, 4.2])
    np.testing.assert_array_equal(factors, [1, 1])


def space(n: int = 10) -> SearchSpace:
    """The second half of the variables are 0 or 1."""
    whole = np.arange(n) >= n // 2
    lower, upper = np.where(whole, 0, -np.inf), np.where(whole, 1, np.inf)
    return SearchSpace(lower, upper, np.ones(n), np.full(n, np.nan), whole)


def ellipsoid_one_max(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Hamano et al. 2022, table 1: an ellipsoid and the number of ones, maximal 0."""
    points = space().points(rows)
    half = points.shape[1] // 2
    stretch = 1e3 ** np.linspace(0, 1, half)
    value: np.ndarray[Any, Any] = -np.sum((stretch * points[:, :half]) ** 2, axis=1) - np.sum(
        points[:, half:] < 0.5, axis=1
    )
    return value


@pytest.mark.parametrize(
    "settings",
    [CMAESSettings(sigma=1.0), SepCMAESSettings(sigma=1.0)],
    ids=["cma-es", "sep-cma-es"],
)
def test_whole_numbers_are_found_that_rounding_alone_misses(settings: Any) -> None:
    start, pool = np.array([1.0] * 5 + [0.0] * 5), pool_for(ellipsoid_one_max)
    strategy, plain = settings.strategy_in(space(), start, 1), settings.strategy(start, 1)
    resumed = settings.strategy_in(space(), start + 1, 1)
    advance(strategy, pool, 100)
    resumed.restore({name: np.array(array) for name, array in strategy.state().items()})
    for each, generations in ((strategy, 300), (resumed, 300), (plain, 400)):
        advance(each, pool, generations)
    assert same(strategy, resumed)
    assert ellipsoid_one_max(strategy.parameters()[None])[0] > -1e-6
    assert ellipsoid_one_max(plain.parameters()[None])[0] <= -1
