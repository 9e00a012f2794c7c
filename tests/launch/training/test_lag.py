"""Generations that are drawn from an older state: which one, how fast they may learn, and who may
not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.algorithms.evolution.ars import ARS, ARSSettings
from esengine.algorithms.evolution.lag import share_of_rate
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World
from tests.support.training import CONFIG, METHODS, training

LAG = 2


def test_each_generation_is_drawn_from_the_state_a_fixed_number_of_generations_before(
    tmp_path: Path,
) -> None:
    config = METHODS["openai-es lag"].with_train(generations=6).with_search(sigma=0.1)
    loop = training(tmp_path / "run", config=config)
    method: Any = loop.method
    means = {0: np.array(method.mean)}
    drawn = {}

    begin = loop.pool.begin
    tell = method.tell

    def begun(submitted: Any) -> None:
        if submitted.candidates.episode_purpose == "episode":
            drawn[submitted.candidates.generation] = np.array(submitted.candidates.mean)
        begin(submitted)

    def told(*arguments: Any) -> None:
        tell(*arguments)
        means[method.generation] = np.array(method.mean)

    loop.pool.begin = begun  # type: ignore[method-assign]
    method.tell = told
    assert loop.run().finished

    assert sorted(drawn) == [1, 2, 3, 4, 5, 6]
    for generation, mean in drawn.items():
        np.testing.assert_array_equal(mean, means[max(0, generation - 1 - LAG)])
    assert len({mean.tobytes() for mean in means.values()}) == 7


def test_sums_are_over_the_population_that_was_collected_last() -> None:
    def sphere(x: np.ndarray) -> float:
        return -float(x @ x)

    noise = create_table(0, 14, 64, None)
    strategy = ARS(ARSSettings(population_size=6), np.ones(3), 0)
    first = strategy.ask()
    second = replace(first, generation=2)
    weights = np.arange(6.0)

    def alone(candidates: Any) -> tuple[np.ndarray, np.ndarray]:
        pool = Pool(World(), RankState(noise, ObjectiveProblem(sphere, 3), None))
        fitness = pool.evaluate(candidates).fitness
        return fitness, pool.population().weighted_noise(weights)

    pool = Pool(World(), RankState(noise, ObjectiveProblem(sphere, 3), None))
    open_ones = [pool.submit(candidates) for candidates in (first, second)]
    for submitted, candidates in zip(open_ones, (first, second), strict=True):
        fitness, total = alone(candidates)
        np.testing.assert_array_equal(pool.collect(submitted).fitness, fitness)
        np.testing.assert_array_equal(pool.population().weighted_noise(weights), total)


@pytest.mark.parametrize("lag", [2, 4, 8])
def test_the_factor_on_a_rate_is_half_the_largest_stable_step_on_a_quadratic(lag: int) -> None:
    def end(step: float) -> float:
        x = [1.0] * (lag + 1)
        for _ in range(4000):
            x.append(x[-1] - step * x[-1 - lag])
        return max(map(abs, x[-4 * lag :]))

    bound = 2 * share_of_rate(lag)
    assert end(0.95 * bound) < 1e-3
    assert end(1.05 * bound) > 1e3
    assert share_of_rate(0) == share_of_rate(1) == 1
    assert math.isclose(bound, {2: 0.618, 4: 0.347, 8: 0.1845}[lag], abs_tol=1e-3)


def test_a_search_that_would_become_several_is_refused() -> None:
    with pytest.raises(UserError, match="becomes 2 interleaved searches"):
        CONFIG.with_train(lag=1).strategy(np.zeros(4, np.float32))
    with pytest.raises(UserError, match="--lag must lie between 0 and 8, got 9"):
        METHODS["openai-es lag"].with_train(lag=9).check()
    with pytest.raises(UserError, match="--novelty belongs to --lag 0, got --lag 2"):
        METHODS["openai-es lag"].with_train(novelty="nsr").check()
