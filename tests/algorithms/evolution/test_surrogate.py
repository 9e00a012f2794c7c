"""The surrogate of cma-es: the model, when it is trusted, and what it saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

import esengine
from esengine.algorithms import CMAESSettings
from esengine.algorithms.evolution.quadratic_model import (
    QuadraticModel,
    kendall,
    trust_region_step,
)
from esengine.algorithms.trial_runs import advance, pool_for
from esengine.errors import UserError
from esengine.launch.training.start_and_resume import resume
from esengine.ranks import StopRequest
from tests.support.runs import same_run

RANDOM = np.random.default_rng(0)
AXES = np.linalg.qr(RANDOM.standard_normal((8, 8)))[0]
LQ = CMAESSettings(sigma=1.0, surrogate="lq")


def ellipsoid(rows: np.ndarray) -> np.ndarray:
    return np.asarray(-np.sum(10 ** np.linspace(0, 4, 8) * ((rows - 3) @ AXES) ** 2, axis=1))


def best_of(settings: CMAESSettings, function: Any, evaluations: int, start: float = 0.0) -> float:
    """The best fitness within a number of evaluations."""
    found: list[float] = []

    def counted(rows: np.ndarray) -> np.ndarray:
        values = function(rows)
        found.extend(values)
        return np.asarray(values)

    strategy = settings.strategy(np.full(8, start), 0)
    pool = pool_for(counted, 8)
    while len(found) < evaluations:
        advance(strategy, pool, 1)
    return max(found[:evaluations])


def test_a_quadratic_function_is_its_own_model() -> None:
    model = QuadraticModel(8, 10)
    points = 1e3 + RANDOM.standard_normal((70, 8))
    model.add(points, -ellipsoid(points - 1e3))
    assert model.size == 45
    others = 1e3 + 5 * RANDOM.standard_normal((5, 8))
    np.testing.assert_allclose(model.predicted(others), -ellipsoid(others - 1e3), rtol=1e-8)

    gradient, hessian = model.derivatives(others[0])
    expected = 2 * AXES * 10 ** np.linspace(0, 4, 8) @ AXES.T
    np.testing.assert_allclose(hessian, expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(gradient, expected @ (others[0] - 1e3 - 3), rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(("count", "size"), [(3, 9), (20, 9), (26, 17), (60, 17), (67, 45)])
def test_the_model_grows_with_the_number_of_points(count: int, size: int) -> None:
    model = QuadraticModel(8, 10)
    model.add(RANDOM.standard_normal((count, 8)), RANDOM.standard_normal(count))
    assert model.size == size


def test_the_oldest_points_are_forgotten() -> None:
    model = QuadraticModel(8, 10)
    for number in range(100):
        model.add(np.full((1, 8), float(number)), np.array([0.0]))
    assert model.points[:, 0].tolist() == list(range(99, 9, -1))


def test_rank_correlation_is_kendalls() -> None:
    first, second = RANDOM.standard_normal((2, 12))
    assert kendall(first, second) == pytest.approx(kendalltau(first, second).statistic)


@pytest.mark.parametrize("curvatures", [(1.0, 4.0), (-1.0, 2.0), (0.0, 0.0), (1e-3, 1e-3)])
@pytest.mark.parametrize("gradient", [(0.3, 0.2), (-5.0, 1.0)])
def test_no_vector_in_the_region_is_better_than_the_step(
    curvatures: tuple[float, float], gradient: tuple[float, float]
) -> None:
    H = AXES[:2, :2] / np.linalg.norm(AXES[:2, 0])
    H = np.linalg.qr(H)[0]
    H = H @ np.diag(curvatures) @ H.T
    g = np.array(gradient)
    step = trust_region_step(g, H, 1.5)
    assert np.linalg.norm(step) <= 1.5 * (1 + 1e-9)
    angles, lengths = np.meshgrid(np.linspace(0, 2 * np.pi, 200), np.linspace(0, 1.5, 100))
    every = np.stack([lengths * np.cos(angles), lengths * np.sin(angles)], axis=-1).reshape(-1, 2)
    values = every @ g + np.sum(every @ H * every, axis=1) / 2
    assert g @ step + step @ H @ step / 2 <= values.min() + 1e-9


def test_a_rotated_ellipsoid_takes_a_fifth_of_the_evaluations() -> None:
    assert best_of(LQ, ellipsoid, 300) > -1e-9
    assert best_of(CMAESSettings(sigma=1.0), ellipsoid, 1500) < -1e-9


def test_a_model_that_is_always_wrong_is_not_trusted() -> None:
    """Nearly all members are then evaluated; chance may agree with a few."""

    def noise(rows: np.ndarray) -> np.ndarray:
        return np.asarray(np.sin(1e6 * rows.sum(axis=1)))

    strategy: Any = LQ.strategy(np.zeros(8), 0)
    pool = pool_for(noise, 8)
    evaluations = 0
    while strategy.search.generation < 20:
        evaluations += strategy.population_size
        advance(strategy, pool, 1)
    assert evaluations > 0.75 * 20 * strategy.search.population_size


def test_batches_fill_the_workers() -> None:
    strategy = CMAESSettings(surrogate="lq", surrogate_batch=4).strategy(np.zeros(8), 0)
    pool = pool_for(ellipsoid, 8)
    sizes = []
    for _ in range(30):
        sizes.append(strategy.population_size)
        advance(strategy, pool, 1)
    assert set(sizes) <= {2, 4, 5}  # a population of 10 leaves 2 or 1
    assert sizes.count(4) > 20


def rosenbrock(x: np.ndarray) -> float:
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def noisy(x: np.ndarray, seed: int) -> float:
    return float(x @ x)


@pytest.mark.parametrize(
    "further",
    [
        {"lower_bound": (-1.0,), "upper_bound": (0.5,)},
        {"restarts": "bipop", "concurrent_searches": 2, "tolerance_x": 0.1},
        {"integer_variables": ["0"]},
        {"mirrored": True, "factor": "cholesky"},
    ],
)
def test_a_surrogate_is_resumed_with_bounds_integers_and_restarts(
    tmp_path: Path, further: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"dimension": 4, "minimize": True}
    settings |= {"objective": f"{__name__}:rosenbrock", **further}
    settings |= {"surrogate": "lq", "surrogate_batch": 2}
    esengine.train("cma-es", run_dir=tmp_path / "straight", generations=40, **settings)
    esengine.train("cma-es", run_dir=tmp_path / "run", generations=17, **settings)
    resume(tmp_path / "run", {"generations": 40}, True, True, StopRequest())
    same_run(tmp_path / "straight", tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"surrogate": "gp"}, "--surrogate must be one of none, lq"),
        ({"surrogate_batch": 4}, "--surrogate-batch"),
        ({"surrogate": "lq", "surrogate_batch": 0}, "at least 1, got 0"),
    ],
)
def test_bad_surrogates_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        CMAESSettings(**settings).check()


def test_noise_is_refused_with_a_surrogate() -> None:
    with pytest.raises(UserError, match="without noise"):
        esengine.minimize(noisy, dimension=2, method="cma-es", surrogate="lq")
    with pytest.raises(UserError, match="noise of episodes"):
        esengine.train("cma-es", env_id="CartPole-v1", surrogate="lq")
