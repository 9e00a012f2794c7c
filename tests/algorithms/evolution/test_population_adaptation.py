"""The population size of cma-es under noise, with many optima, and without either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import CMAESSettings
from esengine.algorithms.evolution.cma_coefficients import Coefficients
from esengine.algorithms.evolution.population_adaptation import best_step_size
from esengine.algorithms.trial_runs import advance, pool_for
from esengine.errors import UserError
from esengine.pool import Population

ADAPTED = CMAESSettings(sigma=1.0, adapt_population="on")


def sphere(rows: np.ndarray) -> np.ndarray:
    return np.asarray(-np.sum(rows**2, axis=1))


def noise(rows: np.ndarray) -> np.ndarray:
    """A value that says nothing about the row."""
    return np.array([np.random.default_rng(row.view(np.uint32)).normal() for row in rows])


def rastrigin(rows: np.ndarray) -> np.ndarray:
    return np.asarray(-np.sum(rows**2 - 10 * np.cos(2 * np.pi * rows) + 10, axis=1))


def sizes_on(function: Callable[..., Any], generations: int, **changes: Any) -> list[int]:
    strategy: Any = CMAESSettings(sigma=1.0, adapt_population="on", **changes).strategy(
        np.full(10, 2.0), 0
    )
    pool = pool_for(function)
    sizes = []
    for _ in range(generations):
        sizes.append(strategy.ask().population_size)
        advance(strategy, pool, 1)
    return sizes


def test_the_population_grows_under_noise_and_stays_small_without() -> None:
    plain = sizes_on(sphere, 60)
    noisy = sizes_on(lambda rows: sphere(rows) + 100 * noise(rows), 60)
    assert min(plain) == 10
    assert max(plain) < 100
    assert noisy[-1] > 10 * np.median(plain)


def test_the_population_grows_in_proportion_to_the_noise_that_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def noisy(rows: np.ndarray) -> np.ndarray:
        return np.asarray(sphere(rows) + 100 * noise(rows))

    unmeasured = sizes_on(noisy, 60)
    monkeypatch.setattr(Population, "reliability", 0.4)  # most of it is noise
    assert sizes_on(noisy, 60) == unmeasured
    monkeypatch.setattr(Population, "reliability", 1.0)
    assert sizes_on(sphere, 60) == [10] * 60
    monkeypatch.setattr(Population, "reliability", 0.8)
    assert max(sizes_on(sphere, 60)) < 20


def test_the_path_is_as_long_as_expected_under_random_selection() -> None:
    """So that the population neither grows nor shrinks by the error of a formula."""
    strategy: Any = ADAPTED.strategy(np.zeros(10), 0)
    pool = pool_for(noise)
    lengths = []
    for _ in range(150):
        strategy._take_size(40)
        strategy._adaptation.size = 40.0
        advance(strategy, pool, 1)
        adaptation = strategy._adaptation
        lengths.append(np.sum(adaptation.mean_path**2) + np.sum(adaptation.matrix_path**2))
    assert np.mean(lengths[20:]) == pytest.approx(1, abs=0.15)


def test_many_optima_are_left_by_a_large_population() -> None:
    strategy: Any = CMAESSettings(sigma=3.0, adapt_population="on").strategy(np.full(10, 3.0), 1)
    pool = pool_for(rastrigin)
    while strategy.should_stop() is None and strategy.generation < 1500:
        advance(strategy, pool, 1)
    assert rastrigin(strategy.mean[None])[0] > -1e-6


def test_the_best_step_size_follows_the_population() -> None:
    """On a sphere it is nearly mu_eff times the expected mean of the selected, see the tutorial."""
    few, many = (Coefficients.default(10, size, active=True) for size in (10, 100))
    assert 1 < best_step_size(10, many) / best_step_size(10, few) < 4
    large = Coefficients.default(1000, 10, active=False)
    order_statistics = [1.539, 1.001, 0.656, 0.376, 0.123]  # of the five best of ten, from tables
    expected = large.mu_eff * float(large.weights[:5] @ order_statistics)
    assert best_step_size(1000, large) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"factor": "cholesky"}, "with --factor eigen"),
        ({"surrogate": "lq"}, "without a surrogate"),
    ],
)
def test_what_does_not_go_with_a_changing_population_is_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        CMAESSettings(adapt_population="on", **settings).check()
    assert CMAESSettings(**settings).for_noise(True).adapt_population == "off"


@pytest.mark.parametrize("changes", [{"mirrored": True}, {"restarts": "ipop"}])
def test_mirrored_and_restarted_searches_adapt_as_well(changes: dict[str, Any]) -> None:
    sizes = sizes_on(noise, 30, **changes)
    assert max(sizes) > 20
    assert not changes.get("mirrored") or all(size % 2 == 0 for size in sizes)
