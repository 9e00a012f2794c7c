"""The Gaussian process equals its closed form, and trial and error tries what it should."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import gamma, kv

from esengine.algorithms.quality_diversity.gaussian_process import GaussianProcess, matern
from esengine.algorithms.quality_diversity.trial_and_error import (
    TrialAndError,
    TrialAndErrorSettings,
)
from esengine.candidates import GivenPoints
from esengine.errors import UserError
from esengine.repertoires import Repertoire, save_archive

WIDTH, NOISE = 0.4, 0.001
FITNESS = np.array([1.0, 3.0, 5.0, 4.0, 2.0])
MEASURES = np.array([[0.0], [2.5], [5.0], [5.5], [10.0]])


def archive() -> Repertoire:
    return Repertoire(
        kind="grid",
        names=("x",),
        ranges=((0.0, 10.0),),
        shape=(20,),
        least_fitness=0.0,
        cells=np.array([0, 5, 10, 11, 19]),
        fitness=FITNESS,
        measures=MEASURES,
        evaluations=np.ones(5, np.int64),
        solutions=np.arange(10.0).reshape(5, 2),
    )


def general_matern(distance: float, width: float, nu: float) -> float:
    """The kernel of any smoothness (Rasmussen, Williams 2006, eq. 4.14)."""
    scaled = math.sqrt(2 * nu) * distance / width
    return float(2 ** (1 - nu) / gamma(nu) * scaled**nu * kv(nu, scaled))


def test_the_kernel_is_matern_of_smoothness_five_halves() -> None:
    distances = np.array([0.01, 0.3, 1.7])
    expected = [general_matern(distance, WIDTH, 2.5) for distance in distances]
    np.testing.assert_allclose(matern(distances, WIDTH), expected, rtol=1e-10)
    assert matern(np.zeros(1), WIDTH)[0] == 1


def test_the_posterior_equals_its_closed_form() -> None:
    draw = np.random.default_rng(0)
    points, prior = draw.random((40, 3)), draw.normal(size=40)
    tried, values = np.array([3, 17, 18, 31, 3]), draw.normal(size=5)
    process = GaussianProcess(points, prior, WIDTH, NOISE)
    for point, value in zip(tried.tolist(), values.tolist(), strict=True):
        process.observe(point, value)

    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    kernel = matern(apart, WIDTH)
    factor = cho_factor(kernel[np.ix_(tried, tried)] + NOISE * np.eye(5))
    cross = kernel[:, tried]
    mean = prior + cross @ cho_solve(factor, values - prior[tried])
    variance = 1 - np.sum(cross * cho_solve(factor, cross.T).T, axis=1)
    np.testing.assert_allclose(process.mean, mean, atol=1e-9)
    np.testing.assert_allclose(process.variance, variance, atol=1e-9)


@pytest.fixture
def settings(tmp_path: Path) -> TrialAndErrorSettings:
    save_archive(tmp_path / "archive.safetensors", archive())
    return TrialAndErrorSettings(init_archive=tmp_path / "archive.safetensors")


def begun(settings: TrialAndErrorSettings) -> TrialAndError:
    return settings.strategy(np.zeros(2), seed=0)


def told(strategy: TrialAndError, *outcomes: float) -> NDArray[np.float64]:
    """Tell a generation; returns the rows that were tried."""
    candidates = strategy.ask()
    assert isinstance(candidates, GivenPoints)
    strategy.tell(candidates, np.array(outcomes), cast(Any, None))  # needs no sums of members
    return candidates.points


def test_the_best_elite_is_tried_first_and_a_failure_speaks_against_its_neighbours(
    settings: TrialAndErrorSettings,
) -> None:
    strategy = begun(settings)
    assert told(strategy, 0.0).tolist() == [[4.0, 5.0]]
    assert strategy.should_stop() is None
    assert told(strategy, 1.9).tolist() == [[8.0, 9.0]]  # far from it, though 4 and 3 are nearer
    assert strategy.parameters().tolist() == [8.0, 9.0]
    assert strategy.should_stop() == "a trial has 0.9 of the best prediction"
    row = strategy.metrics()
    assert (row["trials"], row["best_trial"]) == (2, 1.9)


def test_a_trial_that_fails_is_not_tried_again_and_teaches_nothing(
    settings: TrialAndErrorSettings,
) -> None:
    strategy = begun(settings)
    told(strategy, -math.inf)
    assert strategy.metrics()["best_prediction"] == 5.0
    assert strategy.parameters().tolist() == [4.0, 5.0]
    assert told(strategy, 4.0).tolist() == [[6.0, 7.0]]


def test_trials_of_one_generation_are_different_elites_until_none_is_left(
    settings: TrialAndErrorSettings,
) -> None:
    strategy = begun(replace(settings, population_size=3, enough=1.0))
    first = told(strategy, 0.0, 0.0, 0.0)
    second = told(strategy, 0.0, 0.0)
    assert len({tuple(row) for row in [*first, *second]}) == 5
    assert strategy.should_stop() == "every elite of the archive was tried"


def test_a_restored_search_goes_on_as_it_was(settings: TrialAndErrorSettings) -> None:
    strategy, other = begun(settings), begun(settings)
    told(strategy, 0.5)
    other.restore(strategy.state())
    np.testing.assert_array_equal(told(other, 0.7), told(strategy, 0.7))
    assert other.metrics() == strategy.metrics()
    broken = strategy.state() | {"tried": np.array([2, 2])}
    with pytest.raises(ValueError, match="different elites"):
        other.restore(broken)


def test_an_archive_that_does_not_fit_is_refused(settings: TrialAndErrorSettings) -> None:
    with pytest.raises(UserError, match="must have solutions of 3 parameters, got 2"):
        settings.strategy(np.zeros(3), seed=0)
    with pytest.raises(UserError, match="--init-archive must name an archive"):
        TrialAndErrorSettings().check()
