"""One suite over every strategy: what the engine relies on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import (
    ARS,
    CMAES,
    LMMAES,
    PGPE,
    SNES,
    ARSSettings,
    CMAESSettings,
    LMMAESSettings,
    OpenAIES,
    OpenAIESSettings,
    PGPESettings,
    RecombiningES,
    SepCMAES,
    SepCMAESSettings,
    SNESSettings,
    Strategy,
    TruncationES,
    TruncationESSettings,
)
from esengine.desk import Desk
from esengine.noise import CounterNoise, create_table
from esengine.pool import Pool
from esengine.problems import ObjectiveProblem
from esengine.world import World

DIMENSION = 6
NOISE = create_table(0, 18, 64, None)

Maker = Callable[..., Any]

MAKERS: dict[str, Maker] = {
    "cma-es": lambda size=None, seed=0, start=0.0: CMAES(
        CMAESSettings(population_size=size, sigma=0.3), np.full(DIMENSION, start), seed
    ),
    "truncation-es": lambda size=None, seed=0, start=0.0: TruncationES(
        TruncationESSettings(population_size=size or 40, sigma=0.3), np.full(DIMENSION, start), seed
    ),
    "truncation-es weighted": lambda size=None, seed=0, start=0.0: RecombiningES(
        TruncationESSettings(population_size=size or 40, sigma=0.3, recombination="weighted"), np.full(DIMENSION, start), seed
    ),
    "openai-es": lambda size=None, seed=0, start=0.0: OpenAIES(
        OpenAIESSettings(population_size=size or 40, sigma=0.3, learning_rate=0.2), np.full(DIMENSION, start), seed
    ),
    "ars": lambda size=None, seed=0, start=0.0: ARS(
        ARSSettings(population_size=size or 40, sigma=0.3, step_size=0.1 if size else 0.4, top_directions=None if size else 15),
        np.full(DIMENSION, start),
        seed,
    ),
    "pgpe": lambda size=None, seed=0, start=0.0: PGPE(
        PGPESettings(population_size=size or 40, sigma=0.3, learning_rate=0.05 if size else 0.2),
        np.full(DIMENSION, start),
        seed,
    ),
    "snes": lambda size=None, seed=0, start=0.0: SNES(
        SNESSettings(population_size=size, sigma=0.3), np.full(DIMENSION, start), seed
    ),
    "sep-cma-es": lambda size=None, seed=0, start=0.0: SepCMAES(
        SepCMAESSettings(population_size=size, sigma=0.3), np.full(DIMENSION, start), seed
    ),
    "lm-ma-es": lambda size=None, seed=0, start=0.0: LMMAES(
        LMMAESSettings(population_size=size, sigma=0.3), np.full(DIMENSION, start), seed
    ),
}
BY_VALUE = ("ars",)  # an affine change of fitness changes nothing, an order-preserving one does
SIZES = {
    "cma-es": (4, 7, 1000, 10_000),
    "truncation-es": (5, 7, 1000, 10_000),
    "truncation-es weighted": (5, 7, 1000, 10_000),
    "openai-es": (2, 8, 1000, 100_000),
    "ars": (2, 8, 1000, 100_000),
    "pgpe": (2, 8, 1000, 100_000),
    "snes": (2, 7, 1000, 100_000),
    "sep-cma-es": (4, 7, 1000, 100_000),
    "lm-ma-es": (4, 7, 1000, 10_000),
}


@pytest.fixture(params=list(MAKERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(name: str) -> Maker:
    return MAKERS[name]


def pool_for(function: Callable[[np.ndarray], float]) -> Pool:
    return Pool(World(), Desk(NOISE, ObjectiveProblem(function, DIMENSION), None))


def sphere(x: np.ndarray) -> float:
    return -float(np.sum((x - 0.5) ** 2))


def advance(strategy: Strategy, pool: Pool, generations: int) -> None:
    for _ in range(generations):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())


def same(first: Strategy, second: Strategy) -> bool:
    one, two = first.state(), second.state()
    return list(one) == list(two) and all(np.array_equal(one[name], two[name]) for name in one)


def test_asking_twice_gives_the_same_population(make: Maker) -> None:
    strategy = make()
    pool = pool_for(sphere)
    advance(strategy, pool, 2)
    np.testing.assert_array_equal(pool.evaluate(strategy.ask()).fitness, pool.evaluate(strategy.ask()).fitness)


def test_the_same_seed_gives_the_same_search_and_another_seed_another(make: Maker) -> None:
    first, second, third = make(seed=1), make(seed=1), make(seed=2)
    for strategy in (first, second, third):
        advance(strategy, pool_for(sphere), 5)
    assert same(first, second)
    assert not same(first, third)


def test_a_restored_strategy_goes_on_bit_for_bit(make: Maker) -> None:
    straight, stopped, resumed = make(), make(), make(start=9.0)
    advance(straight, pool_for(sphere), 9)
    advance(stopped, pool_for(sphere), 4)
    resumed.restore({key: np.array(value) for key, value in stopped.state().items()})
    advance(resumed, pool_for(sphere), 5)
    assert same(straight, resumed)
    np.testing.assert_array_equal(straight.parameters(), resumed.parameters())


def test_the_search_improves(make: Maker) -> None:
    strategy = make(start=3.0)
    advance(strategy, pool_for(sphere), 40)
    assert sphere(strategy.parameters()) > 0.05 * sphere(np.full(DIMENSION, 3.0))


def test_order_preserving_changes_of_fitness_change_nothing(name: str, make: Maker) -> None:
    plain, squeezed = make(start=1.0), make(start=1.0)
    advance(plain, pool_for(sphere), 6)
    advance(squeezed, pool_for(lambda x: -np.log1p(-sphere(x))), 6)
    assert np.array_equal(plain.parameters(), squeezed.parameters()) != (name in BY_VALUE)


def test_affine_changes_of_fitness_change_nothing(make: Maker) -> None:
    plain, changed = make(start=1.0), make(start=1.0)
    advance(plain, pool_for(sphere), 6)
    advance(changed, pool_for(lambda x: 1e3 * sphere(x) + 5), 6)
    np.testing.assert_allclose(plain.parameters(), changed.parameters(), rtol=1e-9)


def test_translation_changes_nothing_but_the_place(make: Maker) -> None:
    here, there = make(start=0.0), make(start=4.0)
    advance(here, pool_for(sphere), 6)
    advance(there, pool_for(lambda x: sphere(x - 4.0)), 6)
    np.testing.assert_allclose(there.parameters() - 4.0, here.parameters(), atol=1e-9)


def test_tell_rejects_results_of_another_generation(make: Maker) -> None:
    strategy, pool = make(), pool_for(sphere)
    old = strategy.ask()
    advance(strategy, pool, 1)
    with pytest.raises(ValueError, match="tell expects generation 2, got generation 1"):
        strategy.tell(old, np.zeros(strategy.population_size), pool.population())


def test_tell_rejects_fitness_of_another_size_or_not_a_number(make: Maker) -> None:
    strategy, pool = make(), pool_for(sphere)
    candidates = strategy.ask()
    pool.evaluate(candidates)
    with pytest.raises(ValueError, match="fitness must have shape"):
        strategy.tell(candidates, np.zeros(3), pool.population())
    with pytest.raises(ValueError, match="must not be NaN"):
        strategy.tell(candidates, np.full(strategy.population_size, np.nan), pool.population())


def test_tell_leaves_the_callers_fitness_alone(make: Maker) -> None:
    strategy, pool = make(), pool_for(sphere)
    candidates = strategy.ask()
    fitness = pool.evaluate(candidates).fitness
    before = fitness.copy()
    strategy.tell(candidates, fitness, pool.population())
    np.testing.assert_array_equal(fitness, before)


def test_failed_members_never_lead(make: Maker) -> None:
    strategy = make(start=1.0)
    advance(strategy, pool_for(lambda x: sphere(x) if x[0] < 1.2 else float("nan")), 15)
    assert strategy.parameters()[0] < 1.3
    assert np.isfinite(strategy.parameters()).all()


def test_a_generation_of_failures_is_survived(make: Maker) -> None:
    strategy = make()
    advance(strategy, pool_for(lambda x: float("nan")), 3)
    assert np.isfinite(strategy.parameters()).all()


@pytest.mark.parametrize("which", range(4))
def test_every_population_size_works(name: str, which: int) -> None:
    size = SIZES[name][which]
    strategy = MAKERS[name](size=size, start=1.0)
    advance(strategy, Pool(World(), Desk(CounterNoise(), ObjectiveProblem(sphere, DIMENSION), None)), 10 if size < 5000 else 2)
    assert strategy.ask().population_size == strategy.population_size
    assert np.isfinite(strategy.parameters()).all()
    assert sphere(strategy.parameters()) > sphere(np.full(DIMENSION, 1.0)) - 0.5


def test_state_is_plain_arrays(make: Maker) -> None:
    strategy = make()
    advance(strategy, pool_for(sphere), 2)
    assert all(isinstance(value, np.ndarray) and value.dtype != object for value in strategy.state().values())
    assert "sigma" in strategy.metrics()
