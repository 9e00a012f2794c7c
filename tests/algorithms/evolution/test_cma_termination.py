"""Every reason for which a search that adapts a normal distribution is over, each where no other
holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from esengine.algorithms.evolution.cma_termination import Termination, Tolerances

N, SIZE = 4, 8
WINDOW = 10 + 30 * N // SIZE
ONES = np.ones(N)
Fitness = Callable[[int], Any]


def improving(generation: int) -> Any:
    return generation + np.arange(SIZE) / SIZE


def search(
    generations: int, fitness: Fitness = improving, moves: bool = True, **tolerances: Any
) -> Termination:
    """A search of some generations, with a mean that moves by 1 in each, or never."""
    given = {f"tolerance_{name}": value for name, value in tolerances.items()}
    found = Termination(replace(Tolerances(), **given), SIZE, np.zeros(N), 1.0)
    for generation in range(1, generations + 1):
        found.remember(
            np.asarray(fitness(generation), float), generation * ONES if moves else np.zeros(N)
        )
    return found


def reason(
    found: Termination,
    sigma: float = 1.0,
    mean: Any = 0.0,
    deviations: float = 1.0,
    axes: Any = 1.0,
) -> str | None:
    return found.reason(sigma, mean * ONES, deviations * ONES, np.sort(axes * ONES), np.zeros(N))


def test_a_search_that_improves_goes_on() -> None:
    assert reason(search(0)) is None
    assert reason(search(3000)) is None


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"deviations": 0.9e-11}, "below 1.0e-11 (--tolerance-x)"),
        ({"deviations": 1.1e3}, "grew to 1.1e+03, from 1 (--tolerance-x-up)"),
        ({"deviations": np.nan}, "(--tolerance-x-up)"),
        ({"axes": np.array([1, 1, 1, 1.1e7])}, "condition 1e14"),
        ({"sigma": 1.1e20}, "the search creeps"),
        ({"mean": 1e17}, "no longer changes some parameter's mean"),
    ],
)
def test_the_distribution_ends_a_search(state: dict[str, Any], words: str) -> None:
    assert words in str(reason(search(5), **state))


def test_limits_of_0_end_no_search() -> None:
    assert reason(search(5, x=0.0), deviations=1e-30) is None
    assert reason(search(5, x_up=0.0), deviations=1e30) is None


@pytest.mark.parametrize(
    ("fitness", "words"),
    [
        (
            lambda generation: np.zeros(SIZE),
            f"spans less than 1.0e-11 over {WINDOW} generations (--tolerance-fun)",
        ),
        (
            lambda generation: -np.arange(SIZE),
            f"the best of {WINDOW} generations spans less than 1.0e-12",
        ),
    ],
)
def test_fitness_that_stays_ends_a_search_after_its_window(fitness: Fitness, words: str) -> None:
    assert reason(search(WINDOW - 1, fitness)) is None
    assert words in str(reason(search(WINDOW, fitness)))


def test_fitness_whose_better_part_is_equal_ends_a_search_after_its_window() -> None:
    def level(generation: int) -> Any:
        return np.where(np.arange(SIZE) < 7, generation, -1)

    assert reason(search(WINDOW, level)) is None
    assert "three quarters" in str(reason(search(WINDOW + 1, level)))
    assert reason(search(WINDOW + 1, level, fun=0.0)) is None


def test_a_mean_that_does_not_move_ends_a_search_unless_its_fitness_is_flat() -> None:
    assert reason(search(22, moves=False)) is None
    assert "has moved less than" in str(reason(search(23, moves=False)))
    assert reason(search(WINDOW - 1, lambda generation: np.zeros(SIZE), moves=False)) is None


def test_a_best_and_a_median_that_no_longer_improve_end_a_search() -> None:
    def noisy(generation: int) -> Any:
        return np.random.default_rng(generation).standard_normal(SIZE)

    usual = int(100 + 100 * N**1.5 / SIZE)
    assert reason(search(usual, noisy)) is None
    assert f"no improvement in {usual} generations (--tolerance-stagnation)" in str(
        reason(search(5000, noisy))
    )
    assert reason(search(5000, noisy, stagnation=0)) is None


def test_a_change_of_units_changes_no_ending() -> None:
    """Fitness that falls tenfold in four generations ends a search at 1e-11 of its first range."""

    def ending(unit: float) -> int:
        def falling(generation: int) -> Any:
            return -(1 + np.arange(SIZE)) * 10.0 ** (-generation / 4) * unit

        return next(age for age in range(WINDOW, 199) if reason(search(age, falling)))

    assert ending(1e-10) == ending(1e-3) < ending(1.0) < ending(1e6)

    sigma = 1e-10
    found = Termination(Tolerances(), SIZE, np.zeros(N), sigma)
    for generation in range(1, 30):
        found.remember(improving(generation), generation * 1e-5 * sigma * ONES)
    assert found.reason(sigma, sigma * ONES, sigma * ONES, ONES, np.zeros(N)) is None


def test_criteria_of_fitness_can_be_turned_off_except_those_that_are_set() -> None:
    off = replace(Tolerances(), tolerance_stagnation=7).without_fitness()
    assert (off.tolerance_fun, off.tolerance_fun_history, off.tolerance_stagnation) == (0, 0, 7)
    flat = lambda generation: np.zeros(SIZE)  # noqa: E731
    assert reason(search(WINDOW + 9, flat, fun=0, fun_history=0, stagnation=0)) is None


def test_a_search_goes_on_with_its_histories() -> None:
    straight, resumed = search(WINDOW - 1, lambda generation: np.zeros(SIZE)), search(0)
    resumed.restore(straight.state())
    for found in (straight, resumed):
        assert reason(found) is None
        found.remember(np.zeros(SIZE), ONES)
    assert reason(straight) == reason(resumed) is not None
