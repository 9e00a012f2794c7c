"""The contract suite of strategies: what the engine requires, and the invariances that a strategy
may claim.

It tests the strategies of this package, and custom ones::

    import pytest
    from esengine.algorithms.testing import Subject, checks
    from my_search import HillClimbSettings

    CHECKS = checks(Subject(HillClimbSettings(sigma=0.3), claims=frozenset({"order",
    "translation"})))

    @pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
    def test_hill_climbing_keeps_the_contract(check):
        check()

A check raises AssertionError and says what it found. All checks run in this process, in a few
seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import Settings, Strategy
from esengine.algorithms.trial_runs import (
    Function,
    N,
    WeightRecorder,
    advance,
    pool_for,
    same,
    sphere,
    turned_noise,
)
from esengine.candidates import Candidates
from esengine.noise import Noise
from esengine.pool import Pool

Claim = Literal["order", "affine", "translation", "scale", "rotation", "flat"]


@dataclass(frozen=True)
class Subject:
    """A strategy and its claims.

    Attributes:
        settings: the method's settings, with a ``sigma`` of about 0.3 and a population that
            improves within 40 generations.
        claims: changes that do not affect the strategy: ``order`` (order-preserving changes of
            fitness), ``affine`` (multiplying fitness and adding to it), ``translation`` (of the
            parameters), ``scale`` (of the parameters together with ``lengths``), ``rotation`` (of
            the parameters together with the noise). ``flat`` claims that equal fitness changes
            neither the mean nor sigma.
        lengths: settings that have the unit of the parameters.
        sizes: population sizes to test, the smallest one first; none for a method of one size.
    """

    settings: Any
    claims: frozenset[Claim] = frozenset()
    lengths: tuple[str, ...] = ("sigma",)
    sizes: tuple[int, ...] = ()

    def strategy(
        self, start: float | NDArray[np.float64] = 0.0, seed: int = 0, **changes: Any
    ) -> Strategy:
        """Return a new strategy of these settings with changes, which starts from ``start``."""
        settings: Settings = replace(self.settings, **changes)
        return settings.strategy(np.array(np.broadcast_to(start, N), np.float64), seed)


def checks(subject: Subject) -> dict[str, Callable[[], None]]:
    """Return the checks of a strategy by name: those of every strategy, of its claims, and of its
    population sizes.
    """
    claimed = [check for claim, check in _CLAIMED.items() if claim in subject.claims]
    sized = [larger_populations_take_no_more_generations] if subject.sizes else []
    found: dict[str, Callable[[], None]] = {}
    for check in (*_ALWAYS, *claimed, *sized):
        found[check.__name__] = partial(check, subject)
    for size in subject.sizes:
        found[f"works_with_{size}_members"] = partial(works_with, subject, size)
    return found


def searched(
    subject: Subject,
    function: Function,
    generations: int,
    start: float | NDArray[np.float64] = 0.0,
    noise: Noise | None = None,
    **changes: Any,
) -> Strategy:
    """Return a strategy after generations on a function, see `Subject.strategy`."""
    strategy = subject.strategy(start, **changes)
    advance(strategy, pool_for(function, noise=noise), generations)
    return strategy


def asking_twice_gives_the_same_population(subject: Subject) -> None:
    strategy = subject.strategy()
    pool = pool_for(sphere)
    advance(strategy, pool, 2)
    first, second = (pool.evaluate(strategy.ask()).fitness for _ in range(2))
    np.testing.assert_array_equal(first, second)


def one_seed_gives_one_search(subject: Subject) -> None:
    first, second, third = (searched(subject, sphere, 5, seed=seed) for seed in (1, 1, 2))
    assert same(first, second), "two searches of one seed differ"
    assert not same(first, third), "searches of two seeds are the same"


def a_restored_strategy_goes_on_bit_for_bit(subject: Subject) -> None:
    straight = searched(subject, sphere, 9)
    stopped = searched(subject, sphere, 4)
    resumed = subject.strategy(9.0)
    resumed.restore({key: np.array(value) for key, value in stopped.state().items()})
    advance(resumed, pool_for(sphere), 5)

    assert same(straight, resumed), (
        "the restored strategy's state differs from that of one that never stopped"
    )
    np.testing.assert_array_equal(straight.parameters(), resumed.parameters())


def the_state_is_plain_arrays(subject: Subject) -> None:
    strategy = searched(subject, sphere, 2)
    for name, value in strategy.state().items():
        assert isinstance(value, np.ndarray), f"state {name!r} is no array"
        assert value.dtype != object, f"state {name!r} holds objects"
    assert "sigma" in strategy.metrics(), "metrics must have sigma"


def the_search_improves(subject: Subject) -> None:
    strategy = searched(subject, sphere, 40, 2.0)
    before = _value(np.full(N, 2.0))
    after = _value(strategy.parameters())
    assert after > 0.05 * before, f"the sphere went from {before} to {after} in 40 generations"


def results_of_another_generation_are_refused(subject: Subject) -> None:
    strategy = subject.strategy()
    pool = pool_for(sphere)
    old = strategy.ask()
    advance(strategy, pool, 1)
    _refuses(
        "tell expects generation 2, got generation 1",
        strategy,
        old,
        np.zeros(strategy.population_size),
        pool,
    )


def fitness_of_another_size_or_not_a_number_is_refused(subject: Subject) -> None:
    strategy = subject.strategy()
    pool = pool_for(sphere)
    candidates = strategy.ask()
    pool.evaluate(candidates)
    _refuses(
        "fitness must have shape",
        strategy,
        candidates,
        np.zeros(strategy.population_size + 1),
        pool,
    )
    _refuses(
        "must not be NaN", strategy, candidates, np.full(strategy.population_size, np.nan), pool
    )


def the_callers_fitness_is_left_alone(subject: Subject) -> None:
    strategy = subject.strategy()
    pool = pool_for(sphere)
    candidates = strategy.ask()
    fitness = pool.evaluate(candidates).fitness
    before = fitness.copy()
    strategy.tell(candidates, fitness, pool.population())
    np.testing.assert_array_equal(fitness, before)


def failed_members_never_lead(subject: Subject) -> None:
    def fails_far_out(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(rows[:, 0] < 1.2, sphere(rows), np.nan)

    strategy = searched(subject, fails_far_out, 15, 1.0)
    assert strategy.parameters()[0] < 1.3, "the search went where members fail"
    assert np.isfinite(strategy.parameters()).all(), (
        "failed members made the parameters infinite or NaN"
    )


def a_generation_of_failures_is_survived(subject: Subject) -> None:
    strategy = searched(subject, lambda rows: np.full(len(rows), np.nan), 3)
    assert np.isfinite(strategy.parameters()).all(), (
        "a generation of failures made the parameters infinite or NaN"
    )


def members_that_tie_weigh_the_same(subject: Subject) -> None:
    """If every other member is good and the rest are bad, each kind has one weight in every sum."""
    strategy = subject.strategy()
    pool = pool_for(sphere)
    candidates = strategy.ask()
    pool.evaluate(candidates)
    population = WeightRecorder(pool)
    fitness = np.where(np.arange(strategy.population_size) % 2 == 0, 1.0, -1.0)
    strategy.tell(candidates, fitness, population)
    for weights in population.weights:
        for kind in (weights[::2], weights[1::2]):
            np.testing.assert_allclose(
                kind, kind[0], rtol=1e-12, err_msg="members of equal fitness have different weights"
            )


def ties_without_information_keep_sigma(subject: Subject) -> None:
    """If a few members, or most, are good by chance, sigma drifts but does not shrink or grow in
    every generation.
    """
    for share in (0.2, 0.8):
        by_chance = partial(_good_by_chance, np.random.default_rng(0), share)
        strategy = searched(subject, by_chance, 60)
        change = strategy.metrics()["sigma"] / _first_sigma(subject.settings)
        assert 0.05 < change < 20, (
            f"with {share:.0%} good by chance sigma became {change:.1e} times what it was"
        )


def order_preserving_changes_of_fitness_change_nothing(subject: Subject) -> None:
    plain = searched(subject, sphere, 6, 1.0)
    squeezed = searched(subject, lambda rows: -np.log1p(-sphere(rows)), 6, 1.0)
    np.testing.assert_array_equal(plain.parameters(), squeezed.parameters())


def affine_changes_of_fitness_change_nothing(subject: Subject) -> None:
    plain = searched(subject, sphere, 6, 1.0)
    changed = searched(subject, lambda rows: 1e3 * sphere(rows) + 5, 6, 1.0)
    np.testing.assert_allclose(plain.parameters(), changed.parameters(), rtol=1e-9)


def translation_changes_nothing_but_the_place(subject: Subject) -> None:
    here = searched(subject, sphere, 6)
    there = searched(subject, lambda rows: sphere(rows - 4.0), 6, 4.0)
    np.testing.assert_allclose(there.parameters() - 4.0, here.parameters(), atol=1e-9)


def scale_changes_nothing_but_the_unit(subject: Subject) -> None:
    factor = 256.0
    lengths = {name: factor * getattr(subject.settings, name) for name in subject.lengths}
    metres = searched(subject, sphere, 6, 1.0)
    millimetres = searched(subject, lambda rows: sphere(rows / factor), 6, factor, **lengths)
    np.testing.assert_allclose(millimetres.parameters() / factor, metres.parameters(), rtol=1e-6)


def rotation_changes_nothing_but_the_axes(subject: Subject) -> None:
    """On a rotated function with rotated noise only a strategy that prefers some axes differs."""
    axes = np.linalg.qr(np.random.default_rng(0).standard_normal((N, N)))[0]
    stretch = 10.0 ** np.linspace(0, 1, N)
    start = np.linspace(-1, 1, N)

    def ellipsoid(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return -np.sum(stretch * rows**2, axis=1)

    plain = searched(subject, ellipsoid, 6, start, turned_noise(np.eye(N)))
    turned = searched(
        subject, lambda rows: ellipsoid(rows @ axes), 6, axes @ start, turned_noise(axes)
    )
    np.testing.assert_allclose(turned.parameters(), axes @ plain.parameters(), rtol=1e-6, atol=1e-6)


def equal_fitness_moves_nothing(subject: Subject) -> None:
    strategy = searched(subject, lambda rows: np.zeros(len(rows)), 3, 1.0)
    np.testing.assert_array_equal(strategy.parameters(), np.ones(N))
    assert strategy.metrics()["sigma"] == subject.strategy(1.0).metrics()["sigma"], (
        "equal fitness changed sigma"
    )


def works_with(subject: Subject, size: int) -> None:
    """A population of ``size`` members neither fails nor runs away."""
    strategy = searched(subject, sphere, 10 if size < 5000 else 2, 1.0, population_size=size)
    assert strategy.ask().population_size == strategy.population_size == size
    before = _value(np.ones(N))
    after = _value(strategy.parameters())
    assert after > before - 0.5, f"with {size} members the sphere went from {before} to {after}"


def larger_populations_take_no_more_generations(subject: Subject) -> None:
    """With n, 10 n and 10^4 members sigma stays in its range and variances stay above zero.

    Populations above the default size are no slower in the median.
    """
    usual = subject.strategy().population_size
    allowed = np.median([generations_to_target(subject, usual, seed) for seed in range(5)])
    for size in (N, 10 * N, 10_000):
        seeds = range(5 if size < 10_000 else 1)
        taken = np.median([generations_to_target(subject, size, seed) for seed in seeds])
        assert size < usual or taken <= allowed, (
            f"{size} members took {taken} generations, {usual} took {allowed}"
        )


def _first_sigma(settings: Any) -> float:
    """Return the step size that a search of the settings begins with."""
    return float(getattr(settings, "first_sigma", settings.sigma))


def generations_to_target(subject: Subject, size: int, seed: int = 0) -> int:
    """Return the number of generations for nine tenths of the way. Raises AssertionError after 400
    generations, or if sigma leaves its range.
    """
    strategy = subject.strategy(3.0, seed, population_size=size)
    pool = pool_for(sphere)
    target = _value(np.full(N, 3.0)) / 10**2
    first = _first_sigma(subject.settings)
    while _value(strategy.parameters()) < target:
        advance(strategy, pool, 1)
        sigma = strategy.metrics()["sigma"]
        assert 1e-6 * first < sigma < 1e3 * first, f"with {size} members sigma became {sigma}"
        _variances_are_positive(strategy, size)
        assert strategy.generation < 400, (
            f"with {size} members the target is not reached within 400 generations"
        )
    return strategy.generation


_ALWAYS: tuple[Callable[[Subject], None], ...] = (
    asking_twice_gives_the_same_population,
    one_seed_gives_one_search,
    a_restored_strategy_goes_on_bit_for_bit,
    the_state_is_plain_arrays,
    the_search_improves,
    results_of_another_generation_are_refused,
    fitness_of_another_size_or_not_a_number_is_refused,
    the_callers_fitness_is_left_alone,
    failed_members_never_lead,
    a_generation_of_failures_is_survived,
    members_that_tie_weigh_the_same,
    ties_without_information_keep_sigma,
)
_CLAIMED: dict[Claim, Callable[[Subject], None]] = {
    "order": order_preserving_changes_of_fitness_change_nothing,
    "affine": affine_changes_of_fitness_change_nothing,
    "translation": translation_changes_nothing_but_the_place,
    "scale": scale_changes_nothing_but_the_unit,
    "rotation": rotation_changes_nothing_but_the_axes,
    "flat": equal_fitness_moves_nothing,
}


def _value(parameters: NDArray[np.floating]) -> float:
    return float(sphere(parameters[None].astype(np.float64))[0])


def _variances_are_positive(strategy: Strategy, size: int) -> None:
    """Check the arrays of a state that are named C, a covariance matrix, or variances."""
    for name, array in strategy.state().items():
        kind = name.rpartition("/")[2]  # without the prefix of a part
        least = 1.0
        if kind == "C":
            least = np.linalg.eigvalsh(array)[0]
        elif kind == "variances":
            least = array.min()
        assert least > 0, f"with {size} members a variance is not above zero"


def _good_by_chance(
    chance: np.random.Generator, share: float, rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    return (chance.random(len(rows)) < share).astype(np.float64)


def _refuses(
    words: str, strategy: Strategy, candidates: Candidates, fitness: NDArray[np.float64], pool: Pool
) -> None:
    said = "nothing"
    try:
        strategy.tell(candidates, fitness, pool.population())
    except ValueError as error:
        said = str(error)
    assert words in said, f"tell must raise ValueError with {words!r}, said {said}"
