"""OpenAI-ES against ten lines of NumPy, and its optimisers against their papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.algorithms import OpenAIES, OpenAIESSettings
from esengine.algorithms.evolution.optimizers import Adam, ClipUp, Momentum
from esengine.errors import UserError
from esengine.noise import CounterNoise, create_table
from esengine.pool import FaultRules, Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

NOISE = create_table(0, 18, 64, None)


def pool_for(function: Any, n: int) -> Pool:
    return Pool(
        World(),
        RankState(NOISE, ObjectiveProblem(function, n), None),
        rules=FaultRules(max_failed_fraction=1.0),
    )


def test_a_generation_is_that_of_ten_lines_of_numpy() -> None:
    n, size, sigma = 9, 20, 0.3
    ours = OpenAIES(
        OpenAIESSettings(population_size=size, sigma=sigma, weight_decay=0.01), np.ones(n), 5
    )
    pool = pool_for(lambda x: -float(np.sum(x**2)), n)
    mean, first, second = np.ones(n), np.zeros(n), np.zeros(n)
    for generation in range(1, 5):
        starts = NOISE.starts(5, generation, np.arange(size // 2))
        noise = np.array([NOISE.table[start : start + n] for start in starts], np.float64)
        fitness = [-np.sum((mean + sign * sigma * row) ** 2) for row in noise for sign in (1, -1)]
        utilities = np.argsort(np.argsort(fitness)) / (size - 1) - 0.5
        gradient = sum(u * (-1) ** i * noise[i // 2] for i, u in enumerate(utilities)) / size
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        corrected = first / (1 - 0.9**generation), second / (1 - 0.999**generation)
        mean = 0.99 * mean + sigma / 5 * corrected[0] / (np.sqrt(corrected[1]) + 1e-8)
        candidates = ours.ask()
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        np.testing.assert_allclose(ours.mean, mean, rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "clipup"])
@pytest.mark.parametrize("value", [500.0, -np.inf])
def test_flat_fitness_leaves_the_mean_exactly_where_it_is(optimizer: Any, value: float) -> None:
    ours = OpenAIES(
        OpenAIESSettings(population_size=14, optimizer=optimizer), np.linspace(-1, 1, 7), 0
    )
    pool = pool_for(lambda x: value, 7)
    for _ in range(3):
        candidates = ours.ask()
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    np.testing.assert_array_equal(ours.mean, np.linspace(-1, 1, 7))


@pytest.mark.parametrize("optimizer", ["adam", "sgd", "clipup"])
@pytest.mark.parametrize("sigma", [1e-3, 1.0, 50.0])
def test_default_rates_come_near_the_optimum_at_every_scale(optimizer: Any, sigma: float) -> None:
    ours = OpenAIES(
        OpenAIESSettings(population_size=40, sigma=sigma, optimizer=optimizer),
        np.full(6, 5 * sigma),
        0,
    )
    pool = pool_for(lambda x: -float(np.sum(x**2)), 6)
    for _ in range(150):
        candidates = ours.ask()
        ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    assert np.linalg.norm(ours.mean) < 3 * sigma


def test_adam_takes_the_steps_of_its_paper() -> None:
    adam, momentum, velocity = Adam(3, np.float64, 0.1, 0.9), np.zeros(3), np.zeros(3)
    for t, gradient in enumerate(np.random.default_rng(0).standard_normal((5, 3)), 1):
        momentum, velocity = 0.9 * momentum + 0.1 * gradient, 0.999 * velocity + 0.001 * gradient**2
        expected = 0.1 * (momentum / (1 - 0.9**t)) / np.sqrt(velocity / (1 - 0.999**t))
        np.testing.assert_allclose(adam.step(gradient), expected, rtol=1e-5)


def test_momentum_sums_geometrically() -> None:
    sgd = Momentum(1, np.float64, 0.5, 0.9)
    steps = [float(sgd.step(np.ones(1))[0]) for _ in range(3)]
    np.testing.assert_allclose(steps, [0.5, 0.95, 1.355])


def test_clipup_steps_by_direction_alone_and_keeps_to_its_speed() -> None:
    clipup = ClipUp(2, np.float64, 0.1, 0.9, 0.15)
    np.testing.assert_allclose(clipup.step(np.array([3e9, 4e9])), [0.06, 0.08])
    for _ in range(9):
        step = clipup.step(np.array([3e-9, 4e-9]))
    np.testing.assert_allclose(step, [0.09, 0.12])
    np.testing.assert_allclose(clipup.step(np.zeros(2)), [0.081, 0.108])


def test_precision_is_that_of_the_parameters() -> None:
    ours = OpenAIES(OpenAIESSettings(population_size=4), np.zeros(5, np.float32), 0)
    problem = ObjectiveProblem(lambda x: float(x[0]), 5)
    problem.dtype = np.float32  # type: ignore[assignment]
    pool = Pool(World(), RankState(CounterNoise(), problem, None))
    candidates = ours.ask()
    ours.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    assert {array.dtype for array in ours.state().values() if array.ndim} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"population_size": 7},
            "must be even and at least 2, since members come in pairs, got 7; use 8",
        ),
        ({"population_size": 0}, "got 0; use 2"),
        ({"sigma": float("inf")}, "--sigma must be positive, got inf"),
        ({"learning_rate": 0.0}, "--learning-rate must be positive, got 0.0"),
        ({"momentum": 1.0}, r"--momentum must lie in \[0, 1\), got 1.0"),
        ({"weight_decay": -0.1}, r"--weight-decay must lie in \[0, 1\), got -0.1"),
        ({"max_speed": 0.1}, "--max-speed belongs to --optimizer clipup, got adam"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        OpenAIES(OpenAIESSettings(**settings), np.zeros(3), 0)
