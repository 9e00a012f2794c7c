"""Strategies with a standard deviation for every parameter, against ten lines of NumPy and at every
population size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import PGPE, SNES, PGPESettings, SepCMAES, SepCMAESSettings, SNESSettings
from esengine.algorithms.evolution.cma_coefficients import Coefficients, expected_length
from esengine.algorithms.evolution.sep_cma_es import separable
from esengine.errors import UserError
from esengine.noise import CounterNoise, create_table
from esengine.pool import FaultRules, Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

NOISE = create_table(0, 18, 64, None)

MAKERS: dict[str, Callable[..., Any]] = {
    "snes": lambda start, size=None: SNES(SNESSettings(population_size=size), start, 5),
    "pgpe": lambda start, size=None: PGPE(
        PGPESettings(population_size=(size or 40) + (size or 40) % 2, sigma=1), start, 5
    ),
    "sep-cma-es": lambda start, size=None: SepCMAES(
        SepCMAESSettings(population_size=size), start, 5
    ),
}


def sphere(x: np.ndarray) -> float:
    return -float(np.sum(x**2))


def ellipsoid(x: np.ndarray) -> float:
    return -float(np.sum(10 ** (4 * np.arange(x.size) / (x.size - 1)) * x**2))


def pool_for(function: Any, n: int) -> Pool:
    return Pool(
        World(),
        RankState(NOISE, ObjectiveProblem(function, n), None),
        rules=FaultRules(max_failed_fraction=1.0),
    )


def advance(strategy: Any, pool: Pool, generations: int = 1) -> None:
    for _ in range(generations):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())


def noise_of(generation: int, num_windows: int, n: int) -> np.ndarray:
    starts = NOISE.starts(5, generation, np.arange(num_windows))
    return np.array([NOISE.table[start : start + n] for start in starts], np.float64)


def test_a_generation_of_snes_is_that_of_ten_lines_of_numpy() -> None:
    n, size = 9, 20
    ours, pool = MAKERS["snes"](np.ones(n), size), pool_for(ellipsoid, n)
    mean, sigma = np.ones(n), np.ones(n)
    for generation in range(1, 6):
        s = noise_of(generation, size, n)
        order = np.argsort([-ellipsoid(mean + sigma * row) for row in s])
        raw = np.maximum(0, np.log(size / 2 + 1) - np.log(np.arange(1, size + 1)))
        u = (raw / raw.sum() - 1 / size)[:, None]
        mean = mean + sigma * np.sum(u * s[order], axis=0)
        sigma = sigma * np.exp(
            (3 + np.log(n)) / (5 * np.sqrt(n)) / 2 * np.sum(u * (s[order] ** 2 - 1), axis=0)
        )
        advance(ours, pool)
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-10)
        np.testing.assert_allclose(ours.deviations, sigma, rtol=1e-10)


def test_a_generation_of_pgpe_is_that_of_ten_lines_of_numpy() -> None:
    n, size = 9, 40
    ours, pool = MAKERS["pgpe"](np.ones(n), size), pool_for(ellipsoid, n)
    mean, sigma, velocity, rate = np.ones(n), np.ones(n), np.zeros(n), np.sqrt(n) / 30
    for generation in range(1, 6):
        eps = noise_of(generation, size // 2, n)
        fitness = [ellipsoid(mean + sign * sigma * row) for row in eps for sign in (1, -1)]
        ranks = np.argsort(np.argsort(fitness)) / (size - 1) - 0.5
        plus, minus = ranks[::2, None], ranks[1::2, None]
        gradient = np.mean((plus - minus) / 2 * sigma * eps, axis=0)
        change = 0.1 * np.mean((plus + minus) / 2 * (eps**2 - 1) * sigma, axis=0)
        velocity = 0.9 * velocity + rate * gradient / np.linalg.norm(gradient)
        velocity *= min(1, 2 * rate / np.linalg.norm(velocity))
        mean, sigma = mean + velocity, sigma + np.clip(change, -0.2 * sigma, 0.2 * sigma)
        advance(ours, pool)
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-10)
        np.testing.assert_allclose(ours.deviations, sigma, rtol=1e-10)


def test_a_generation_of_sep_cma_es_is_that_of_ten_lines_of_numpy() -> None:
    n, size = 9, 20
    ours, pool = MAKERS["sep-cma-es"](np.ones(n), size), pool_for(ellipsoid, n)
    k, mean, sigma, c, p_sigma, p_c = (
        ours.coefficients,
        np.ones(n),
        1.0,
        np.ones(n),
        np.zeros(n),
        np.zeros(n),
    )
    w = np.maximum(0, np.log((size + 1) / 2) - np.log(np.arange(1, size + 1)))
    w, mu_eff = w / w.sum(), w.sum() ** 2 / np.sum(w**2)
    for generation in range(1, 9):
        z = noise_of(generation, size, n)
        y = np.sqrt(c) * z[np.argsort([-ellipsoid(mean + sigma * np.sqrt(c) * row) for row in z])]
        mean, step = mean + sigma * w @ y, w @ y
        p_sigma = (1 - k.c_sigma) * p_sigma + np.sqrt(
            k.c_sigma * (2 - k.c_sigma) * mu_eff
        ) * step / np.sqrt(c)
        h = np.sum(p_sigma**2) / (1 - (1 - k.c_sigma) ** (2 * generation)) / n < 2 + 4 / (n + 1)
        p_c = (1 - k.c_c) * p_c + h * np.sqrt(k.c_c * (2 - k.c_c) * mu_eff) * step
        lost = (1 - h) * k.c_1 * k.c_c * (2 - k.c_c)
        c = (1 - k.c_1 - k.c_mu + lost) * c + k.c_1 * p_c**2 + k.c_mu * w @ y**2
        sigma *= np.exp(
            min(1, k.c_sigma / k.d_sigma * (np.linalg.norm(p_sigma) / expected_length(n) - 1))
        )
        advance(ours, pool)
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-9)
        np.testing.assert_allclose(ours.variances, c, rtol=1e-9)
        assert ours.sigma == pytest.approx(sigma, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 10, 1000, 10**6])
@pytest.mark.parametrize("size", [4, 10, 100, 10_000, 10**6])
def test_rates_of_sep_cma_es_never_take_more_than_there_is(n: int, size: int) -> None:
    full = Coefficients.default(n, size, active=False)
    k = separable(full, n)
    assert k.c_1 > 0
    assert k.c_mu >= 0
    assert k.c_1 + k.c_mu <= 1
    if (full.c_1 + full.c_mu) * (n + 2) / 3 < 1:
        np.testing.assert_allclose(
            (k.c_1, k.c_mu), ((n + 2) / 3 * full.c_1, (n + 2) / 3 * full.c_mu)
        )


def test_a_standard_deviation_changes_by_a_fifth_at_most() -> None:
    ours = PGPE(PGPESettings(population_size=40, sigma_learning_rate=50.0), np.ones(9), 5)
    advance(ours, pool_for(ellipsoid, 9))
    np.testing.assert_allclose(
        np.sort(np.unique(np.round(ours.deviations, 9)))[[0, -1]], [0.4, 0.6]
    )


@pytest.mark.parametrize("name", ["snes", "pgpe"])
@pytest.mark.parametrize("value", [500.0, -np.inf])
def test_flat_fitness_changes_exactly_nothing(name: str, value: float) -> None:
    ours = MAKERS[name](np.linspace(-1, 1, 7))
    advance(ours, pool_for(lambda x: value, 7), 3)
    np.testing.assert_array_equal(ours.mean, np.linspace(-1, 1, 7))
    np.testing.assert_array_equal(ours.deviations, np.full(7, 1.0))


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("function", [sphere, ellipsoid])
@pytest.mark.parametrize(
    ("n", "size"), [(2, None), (8, None), (8, 8), (8, 80), (8, 64), (2, 10_000), (8, 10_000)]
)
def test_deviations_stay_positive_and_bounded(
    name: str, function: Any, n: int, size: int | None
) -> None:
    ours = MAKERS[name](np.full(n, 2.0), size)
    pool = Pool(World(), RankState(CounterNoise(), ObjectiveProblem(function, n), None))
    largest, generations = 0.0, 40 if (size or 0) < 1000 else 6
    for _ in range(generations):
        advance(ours, pool)
        assert (ours.deviations > 0).all()
        largest = max(largest, float(ours.deviations.max()))
    assert largest < 10
    assert function(ours.mean) > 1.5 * function(np.full(n, 2.0))


@pytest.mark.parametrize("name", ["snes", "sep-cma-es"])
def test_the_optimum_of_an_ellipsoid_is_found(name: str) -> None:
    ours, pool = MAKERS[name](np.full(10, 2.0)), pool_for(ellipsoid, 10)
    while ours.should_stop() is None and ours.generation < 2000:
        advance(ours, pool)
    assert ellipsoid(ours.mean) > -1e-9


@pytest.mark.parametrize("name", ["snes", "pgpe"])
def test_a_search_that_runs_away_says_so(name: str) -> None:
    ours = MAKERS[name](np.zeros(2))
    ours.deviations = np.full(2, 1e13)
    assert "runs away" in ours.should_stop()
    ours.deviations = np.full(2, 1e-13)
    assert "below 1.0e-12" in ours.should_stop()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SNESSettings(population_size=1), "--population-size must be at least 2, got 1"),
        (SNESSettings(sigma=-1.0), "--sigma must be positive, got -1.0"),
        (SNESSettings(learning_rate=0.0), "--learning-rate must be positive, got 0.0"),
        (
            SNESSettings(sigma_learning_rate=-1.0),
            "--sigma-learning-rate must be positive, got -1.0",
        ),
        (
            SepCMAESSettings(population_size=3),
            "--population-size must be at least 4, got 3",
        ),
        (SepCMAESSettings(sigma=0.0), "--sigma must be positive, got 0.0"),
        (SepCMAESSettings(tolerance_fun=-1.0), "--tolerance-fun must be at least 0, got -1.0"),
        (PGPESettings(population_size=3), "since members come in pairs, got 3; use 4"),
        (
            PGPESettings(sigma_learning_rate=-1.0),
            "--sigma-learning-rate must not be negative, got -1.0",
        ),
        (
            PGPESettings(max_sigma_change=1.0),
            r"--max-sigma-change must lie in \(0, 1\), got 1.0",
        ),
    ],
)
def test_bad_settings_are_refused(settings: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings.check()
