"""LM-MA-ES: the paper's step, a rotated problem, and populations for which the paper's rates do not
hold.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import LMMAES, LMMAESSettings
from esengine.candidates.limited import transformed
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

NOISE = create_table(0, 18, 64, None)


def advance(strategy: LMMAES, function: Callable[[np.ndarray], float], generations: int) -> None:
    pool = Pool(
        World(),
        RankState(NOISE, ObjectiveProblem(function, strategy.mean.size, minimize=True), None),
    )
    for _ in range(generations):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())


def sphere(x: np.ndarray) -> float:
    return float(np.sum(x**2))


def cigar(x: np.ndarray) -> float:
    """Of condition 10^4, its long axis along (1, 1, ..., 1)."""
    along = float(np.sum(x)) ** 2 / x.size
    return along + 1e4 * (float(np.sum(x**2)) - along)


def test_members_are_the_transformed_noise() -> None:
    strategy = LMMAES(LMMAESSettings(sigma=0.5), np.ones(30), 3)
    advance(strategy, sphere, 3)
    samples = strategy.ask()
    z = np.empty((1, 30))
    NOISE.read_rows(NOISE.starts(3, 4, np.array([5])), 0, z)
    d = z[0]
    for m, c in zip(strategy.M[:3], strategy.c_d[:3], strict=True):
        d = (1 - c) * d + c * m * (m @ d)
    np.testing.assert_allclose(
        samples.row(NOISE, 5), strategy.mean + strategy.sigma * d, rtol=1e-12
    )
    np.testing.assert_allclose(transformed(z[0], strategy.M[:3], strategy.c_d[:3]), d, rtol=1e-12)


def test_a_long_axis_that_is_no_coordinate_is_found() -> None:
    strategy = LMMAES(LMMAESSettings(), np.arange(40) / 10, 0)
    advance(strategy, cigar, 2300)
    assert cigar(strategy.parameters()) < 1e-6


@pytest.mark.parametrize("population_size", [15, 40, 400, 1600])
def test_large_populations_keep_sigma_bounded_and_need_fewer_generations(
    population_size: int,
) -> None:
    strategy = LMMAES(LMMAESSettings(population_size=population_size), np.ones(40), 0)
    advance(strategy, sphere, 150 if population_size < 100 else 60)
    assert 0 < strategy.sigma < 2
    assert sphere(strategy.parameters()) < 1e-3 * 40


@pytest.mark.parametrize(
    ("values", "words"), [({"population_size": 3}, "at least 4"), ({"directions": 0}, "at least 1")]
)
def test_bad_settings_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        LMMAESSettings(**values).check()


def test_flat_generations_leave_the_directions_of_a_limited_memory_alone() -> None:
    strategy = LMMAES(LMMAESSettings(), np.zeros(10), 0)
    advance(strategy, lambda row: 0.0, 30)
    candidates: Any = strategy.ask()
    assert candidates.generation == 31
    assert len(candidates.directions) == 0


@pytest.mark.parametrize("n", range(1, 11))
@pytest.mark.parametrize("times", [None, 1, 8, 64])
def test_a_population_for_which_its_rates_are_not_made_is_warned_of(
    n: int, times: int | None
) -> None:
    settings = LMMAESSettings(population_size=None if times is None else max(4, times * n))
    with pytest.warns(UserWarning, match=f"got .* members and {n} parameters, .* use cma-es"):
        settings.strategy(np.zeros(n), 0)


def test_its_own_population_for_many_parameters_is_not_warned_of() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LMMAESSettings().strategy(np.zeros(100), 0)
