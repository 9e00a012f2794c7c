from __future__ import annotations

from typing import Any

import cma
import numpy as np
import pytest

from esengine import minimize
from esengine.algorithms.evolution.pycma import PyCMASettings
from esengine.algorithms.trial_runs import advance, pool_for, same, sphere
from esengine.errors import UserError
from esengine.seeding import derive_key


def ellipsoid(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    value: np.ndarray[Any, Any] = -np.sum(
        10.0 ** np.linspace(0, 6, rows.shape[1]) * rows**2, axis=1
    )
    return value


def test_it_is_the_package_step_by_step() -> None:
    strategy: Any = PyCMASettings(option=("CMA_active=false", "tolfun=1e-5")).strategy(
        np.ones(5), 7
    )
    peer = cma.CMAEvolutionStrategy(
        np.ones(5), 1.0, {"CMA_active": False, "tolfun": 1e-5, "verbose": -9, "seed": np.nan}
    )
    pool = pool_for(ellipsoid, 5)
    for generation in range(30):
        key = derive_key(7, "pycma ask", generation)
        np.random.seed([key >> 32, key & 0xFFFFFFFF])  # noqa: NPY002
        points = peer.ask()
        candidates = strategy.ask()
        np.testing.assert_array_equal(points, candidates.points)
        fitness = pool.evaluate(candidates).fitness
        peer.tell(points, (-fitness).tolist())
        strategy.tell(candidates, fitness, pool.population())
        np.testing.assert_array_equal(strategy._search.mean, peer.mean)
    assert strategy._search.opts["CMA_active"] is False


def test_flat_fitness_is_borne_as_long_as_the_window_of_cma_es() -> None:
    strategy, pool = (
        PyCMASettings(population_size=10).strategy(np.zeros(10), 0),
        pool_for(lambda rows: np.zeros(len(rows))),
    )
    advance(strategy, pool, 40)
    assert strategy.should_stop() is None
    advance(strategy, pool, 1)
    assert "tolfun" in str(strategy.should_stop())


def test_numpys_generator_is_left_as_it_was() -> None:
    np.random.seed(1)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    advance(PyCMASettings(sigma=0.3).strategy(np.zeros(10), 0), pool_for(sphere), 3)
    assert np.random.random() == expected  # noqa: NPY002


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("CMA_diagonal=true", "AdaptSigma=CMAAdaptSigmaTPA"),
        ("CMA_sampler=GaussVkDSampler",),
        (
            "bounds=[-1,0.25]",
            'fixed_variables={"0":0.1}',
            "CMA_mirrors=true",
            "CMA_elitist=initial",
        ),
    ],
)
def test_a_search_that_is_told_again_goes_on_bit_for_bit(options: tuple[str, ...]) -> None:
    settings = PyCMASettings(sigma=0.3, option=options)
    straight, stopped, resumed = (
        settings.strategy(np.zeros(10), 3),
        settings.strategy(np.zeros(10), 3),
        None,
    )
    advance(straight, pool_for(sphere), 24)
    advance(stopped, pool_for(sphere), 14)
    resumed = settings.strategy(np.ones(10) * 0.1, 3)
    resumed.restore({name: np.array(array) for name, array in stopped.state().items()})
    advance(resumed, pool_for(sphere), 10)
    assert same(straight, resumed)
    np.testing.assert_array_equal(straight.ask().rows(None, 0, 9), resumed.ask().rows(None, 0, 9))  # type: ignore[arg-type]
    point = np.asarray(straight.parameters(), np.float64)
    assert sphere(point[None])[0] > -1.7
    if "bounds=[-1,0.25]" in options:
        assert point[0] == 0.1
        assert point.max() <= 0.25


def test_restarts_and_the_spaces_flags_are_its_own_too() -> None:
    result = minimize(
        lambda point: float(10 * point.size + np.sum(point**2 - 10 * np.cos(2 * np.pi * point))),
        3,
        method="pycma",
        sigma=1.0,
        lower_bound=-4,
        upper_bound=5,
        integer_variables=[0],
        restarts="ipop",
        max_restarts=2,
        generations=400,
        seed=1,
    )
    assert result.best_point is not None
    assert result.best_value is not None
    assert result.best_value < 1.1
    assert result.best_point[0] == round(result.best_point[0])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "CMA_diagnal=true",
            "--option must be an option of cma 4.5.0, got CMA_diagnal; did you mean CMA_diagonal",
        ),
        ("nonsense!=1", "--option must be name=value, got 'nonsense!=1'"),
        ("popsize=7", "--option popsize has a flag of its own, --population-size"),
        ("timeout=7", "--max-time"),
        ("verb_log=1", "a run keeps its own records"),
        ("randn=3", "takes Python code"),
        ("tolfun=__import__('os')", "--option tolfun must have a JSON value"),
        ("CMA_elitist=final", "or one of initial, got 'final'"),
        ("AdaptSigma=Wrong", "--option AdaptSigma must be one of"),
        ('fixed_variables={"a":1}', "must map variables to numbers"),
    ],
)
def test_an_option_that_no_run_can_have_is_refused(option: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        PyCMASettings(option=(option,)).check()
    assert words in str(error.value)


def test_what_the_package_refuses_is_told_in_one_sentence() -> None:
    with pytest.raises(UserError, match=r"cma stopped with .*CMA_stds=\[1, 2, 3, 4\]"):
        PyCMASettings(option=("CMA_stds=[1,2,3,4]",)).strategy(np.zeros(3), 0)
    with pytest.raises(UserError, match=r"^option bounds says where to search"):
        minimize(lambda point: 0.0, 3, method="pycma", option=["bounds=[0,1]"], lower_bound=-9)
