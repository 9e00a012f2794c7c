"""Truncation selection: genomes, parents and elites."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.algorithms.recombining_es import RecombiningES
from esengine.algorithms.truncation_es import GenomeTree, TruncationES, TruncationESSettings
from esengine.candidates import MutatedParents
from esengine.desk import Desk
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool
from esengine.problems import ObjectiveProblem
from esengine.world import World

NOISE = create_table(0, 18, 64, None)


def pool_for(function: Any, n: int = 5) -> Pool:
    return Pool(World(), Desk(NOISE, ObjectiveProblem(function, n), None))


def sphere(x: np.ndarray) -> float:
    return -float(np.sum((x - 0.5) ** 2))


def advance(strategy: TruncationES, pool: Pool, generations: int) -> MutatedParents:
    for _ in range(generations):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    return candidates


def test_the_first_rows_are_the_elite_and_its_candidates_and_then_the_best_fifth() -> None:
    settings = TruncationESSettings(population_size=100, elite_candidates=3)
    strategy, pool = TruncationES(settings, np.zeros(5), 0), pool_for(sphere)
    candidates = strategy.ask()
    fitness = pool.evaluate(candidates).fitness
    strategy.tell(candidates, fitness, pool.population())
    best = np.argsort(-fitness)
    following = strategy.ask()
    assert (following.num_unchanged, following.num_rows) == (4, 24)
    np.testing.assert_array_equal(following.selected, np.concatenate([best[:4], best[:20]]))


def test_genomes_rebuild_the_rows_of_any_generation() -> None:
    strategy, pool = TruncationES(TruncationESSettings(population_size=50), np.zeros(5), 1), pool_for(sphere)
    for _ in range(8):
        advance(strategy, pool, 1)
        candidates = strategy.ask()
        pool.evaluate(candidates)
        shared = pool.desk.candidates["search"]
        assert isinstance(shared, MutatedParents)
        assert candidates.genomes is not None
        np.testing.assert_array_equal(candidates.genomes().rows(NOISE, 1), shared.parents)


def test_a_genome_has_at_most_one_link_a_generation_and_the_tree_stays_small() -> None:
    strategy, pool = TruncationES(TruncationESSettings(population_size=60), np.zeros(5), 1), pool_for(sphere)
    advance(strategy, pool, 60)
    genomes = strategy.ask().genomes
    assert genomes is not None
    lengths = np.diff(genomes().offsets)
    assert lengths.max() <= 60
    assert strategy._tree.parents.size < 400  # lineages coalesce; without pruning it would be 60 x 12


def test_one_lucky_score_does_not_make_an_elite() -> None:
    random = np.random.default_rng(0)

    def noisy(x: np.ndarray) -> float:
        return sphere(x) + float(random.standard_normal()) * 5

    strategy, pool = TruncationES(TruncationESSettings(population_size=80, sigma=0.2), np.full(5, 2.0), 0), pool_for(noisy)
    advance(strategy, pool, 60)
    assert sphere(strategy.parameters()) > sphere(np.full(5, 2.0)) * 0.5


def test_the_elite_in_office_keeps_a_tie() -> None:
    strategy, pool = TruncationES(TruncationESSettings(population_size=40), np.zeros(5), 0), pool_for(lambda x: 1.0)
    advance(strategy, pool, 1)
    elite = strategy.parameters()
    advance(strategy, pool, 5)
    np.testing.assert_array_equal(strategy.parameters(), elite)


def test_the_elite_is_the_best_that_was_seen_on_a_function_without_noise() -> None:
    best = -np.inf

    def remembering(x: np.ndarray) -> float:
        nonlocal best
        best = max(best, sphere(x))
        return sphere(x)

    strategy, pool = TruncationES(TruncationESSettings(population_size=40), np.zeros(5), 0), pool_for(remembering)
    advance(strategy, pool, 12)
    before = best
    advance(strategy, pool, 1)  # the last generation's best has now been evaluated again
    assert sphere(strategy.parameters()) >= before


def test_sigma_decays() -> None:
    settings = TruncationESSettings(population_size=40, sigma=0.8, sigma_decay=0.5)
    strategy, pool = TruncationES(settings, np.zeros(5), 0), pool_for(sphere)
    advance(strategy, pool, 3)
    assert strategy.sigma == pytest.approx(0.1)


def test_recombination_moves_the_mean_by_the_weighted_noise() -> None:
    settings = TruncationESSettings(population_size=20, sigma=0.4, recombination="weighted")
    strategy, pool = RecombiningES(settings, np.zeros(5), 3), pool_for(sphere)
    candidates = strategy.ask()
    fitness = pool.evaluate(candidates).fitness
    rows = candidates.members(NOISE, np.argsort(-fitness))
    expected = strategy.weights @ rows
    strategy.tell(candidates, fitness, pool.population())
    np.testing.assert_allclose(strategy.mean, expected, rtol=1e-9)


def test_step_size_control_converges_on_the_sphere() -> None:
    settings = TruncationESSettings(population_size=40, sigma=1.0, recombination="weighted")
    strategy, pool = RecombiningES(settings, np.full(5, 3.0), 0), pool_for(sphere)
    for _ in range(150):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    assert sphere(strategy.parameters()) > -1e-12


def test_a_pruned_tree_keeps_what_the_leaves_descend_from() -> None:
    tree = GenomeTree(np.zeros(3))
    leaves = tree.grow(np.array([0, 0]), np.array([True, True]), 1, np.array([4, 5]), 0.1)
    leaves = tree.grow(leaves[[0, 0, 1]], np.array([True, False, True]), 2, np.array([7, 0, 9]), 0.2)
    kept = tree.prune(leaves[:2])
    genomes = tree.genomes(kept)
    np.testing.assert_array_equal(genomes.offsets, [0, 2, 3])
    np.testing.assert_array_equal(genomes.members, [4, 7, 4])
    np.testing.assert_array_equal(genomes.sigmas, [0.1, 0.2, 0.1])
    assert tree.parents.size == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"population_size": 4}, "at least 5 to leave a parent at --parent-fraction 0.2, got 4; use 5 or more"),
        ({"population_size": 3, "parent_fraction": 0.5}, "at least 4"),
        ({"parent_fraction": 1.5}, "--parent-fraction must lie between 0 and 1, got 1.5"),
        ({"sigma": 0.0}, "--sigma must be positive, got 0.0"),
        ({"sigma_decay": 1.5}, "--sigma-decay must lie in"),
        ({"elite_episodes": 0}, "at least 1"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        TruncationES(TruncationESSettings(**settings), np.zeros(3), 0)
