"""Truncation selection: genomes, parents and elites."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.algorithms.evolution.genome_tree import GenomeTree
from esengine.algorithms.evolution.recombining_es import RecombiningES
from esengine.algorithms.evolution.truncation_es import TruncationES, TruncationESSettings
from esengine.candidates import MutatedParents
from esengine.errors import UserError
from esengine.noise import create_table
from esengine.pool import Pool, RankState
from esengine.problems import ObjectiveProblem
from esengine.ranks import World

NOISE = create_table(0, 18, 64, None)


def pool_for(function: Any, n: int = 5) -> Pool:
    return Pool(World(), RankState(NOISE, ObjectiveProblem(function, n), None))


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


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "decaying": {"sigma_decay": 0.9, "sigma_floor": 0.1},
    "crossed": {"crossover": 0.5},
    "self-adaptive": {"self_adaptive": True, "sigma_floor": 0.01},
    "both": {"self_adaptive": True, "crossover": 1.0},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_genomes_rebuild_the_rows_of_any_generation(variant: str) -> None:
    settings = TruncationESSettings(population_size=50, **VARIANTS[variant])
    strategy, pool = TruncationES(settings, np.zeros(5, np.float32), 1), pool_for(sphere)
    for _ in range(70):  # past the generation that makes new roots
        candidates = strategy.ask()
        fitness = pool.evaluate(candidates).fitness
        shared = pool.rank_state.candidates["search"]
        assert isinstance(shared, MutatedParents)
        assert candidates.genomes is not None
        np.testing.assert_array_equal(candidates.genomes().rows(NOISE, 1), shared.parents)
        strategy.tell(candidates, fitness, pool.population())


def test_chains_are_bounded_and_the_tree_stays_small() -> None:
    strategy, pool = (
        TruncationES(TruncationESSettings(population_size=60), np.zeros(5), 1),
        pool_for(lambda x: 0.0),
    )
    longest, most = 0, 0
    for _ in range(200):  # of neutral evolution, in which lineages coalesce most slowly
        advance(strategy, pool, 1)
        genomes = strategy.ask().genomes
        assert genomes is not None
        longest = max(longest, int(np.diff(genomes().offsets).max()))
        most = max(most, strategy._tree.parents.size)
    assert 64 < longest <= 96
    assert most < 600  # without pruning it would be 200 x 12


def test_too_many_roots_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esengine.algorithms.evolution.genome_tree._MOST_NUMBERS", 5)
    strategy, pool = (
        TruncationES(TruncationESSettings(population_size=60), np.zeros(5), 1),
        pool_for(lambda x: 0.0),
    )
    advance(strategy, pool, 70)
    assert len(strategy._tree.roots) == 1


def test_a_crossed_member_takes_the_last_mutation_of_its_mate() -> None:
    settings = TruncationESSettings(population_size=40, crossover=1.0, sigma=0.5)
    strategy, pool = TruncationES(settings, np.zeros(5), 0), pool_for(sphere)
    advance(strategy, pool, 1)
    pool.evaluate(strategy.ask())
    shared = pool.rank_state.candidates["search"]
    assert isinstance(shared, MutatedParents)
    assert shared.parents is not None
    members = np.arange(40)
    mates, parents = shared.mates(members), shared.parent_indices(members)
    assert (mates[: shared.num_unchanged] == -1).all()
    assert (mates >= 0).sum() > 20
    assert shared.selected is None  # a node keeps rows, not where they came from
    for member in np.flatnonzero(mates >= 0)[:8]:
        own = np.empty((1, 5))
        NOISE.read_rows(NOISE.starts(0, 2, np.array([member])), 0, own)
        taken = shared.parents[
            mates[member]
        ]  # after one generation a row is nothing but its last mutation
        expected = shared.parents[parents[member]] + taken + 0.5 * own[0]
        np.testing.assert_allclose(shared.row(NOISE, int(member)), expected, rtol=1e-12)


def test_self_adaptation_finds_a_smaller_sigma_near_the_optimum_and_a_larger_one_far_away() -> None:
    def sigma_after(start: float, sigma: float) -> float:
        settings = TruncationESSettings(population_size=100, sigma=sigma, self_adaptive=True)
        strategy = TruncationES(settings, np.full(5, start), 0)
        advance(strategy, pool_for(sphere), 25)
        return strategy.metrics()["sigma"]

    assert sigma_after(0.5, 1.0) < 0.3
    assert sigma_after(300.0, 0.1) > 0.5


def test_members_inherit_and_mutate_the_sigma_of_their_parent() -> None:
    settings = TruncationESSettings(
        population_size=2000, sigma=0.5, self_adaptive=True, adaptation_rate=0.2, sigma_floor=0.4
    )
    candidates = TruncationES(settings, np.zeros(5), 0).ask()
    sigmas = candidates.step_sizes(np.arange(2000))
    logarithms = np.log(sigmas[sigmas > 0.4] / 0.5)
    assert sigmas.min() == 0.4
    assert np.sum(logarithms**2 * (logarithms > 0)) / np.sum(logarithms > 0) == pytest.approx(
        0.2**2, rel=0.15
    )
    np.testing.assert_array_equal(sigmas[7:9], candidates.step_sizes(np.array([7, 8])))


def test_one_lucky_score_does_not_make_an_elite() -> None:
    random = np.random.default_rng(0)

    def noisy(x: np.ndarray) -> float:
        return sphere(x) + float(random.standard_normal()) * 5

    strategy, pool = (
        TruncationES(TruncationESSettings(population_size=80, sigma=0.2), np.full(5, 2.0), 0),
        pool_for(noisy),
    )
    advance(strategy, pool, 60)
    assert sphere(strategy.parameters()) > sphere(np.full(5, 2.0)) * 0.5


def test_the_elite_in_office_keeps_a_tie() -> None:
    strategy, pool = (
        TruncationES(TruncationESSettings(population_size=40), np.zeros(5), 0),
        pool_for(lambda x: 1.0),
    )
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

    strategy, pool = (
        TruncationES(TruncationESSettings(population_size=40), np.zeros(5), 0),
        pool_for(remembering),
    )
    advance(strategy, pool, 12)
    before = best
    advance(strategy, pool, 1)  # the last generation's best has now been evaluated again
    assert sphere(strategy.parameters()) >= before


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"sigma_decay": 0.5}, [0.8, 0.4, 0.2, 0.1]),
        ({"sigma_decay": 0.5, "sigma_floor": 0.3}, [0.8, 0.4, 0.3, 0.3]),
        ({"sigma_generations": 2, "sigma_floor": 0.2}, [0.8, 0.5, 0.2, 0.2]),
    ],
)
def test_sigma_follows_its_schedule(schedule: dict[str, Any], expected: list[float]) -> None:
    settings = TruncationESSettings(population_size=40, sigma=0.8, **schedule)
    strategy, pool = TruncationES(settings, np.zeros(5), 0), pool_for(sphere)
    for sigma in expected:
        assert strategy.ask().sigma == pytest.approx(sigma)
        advance(strategy, pool, 1)


def _recombining(size: int, sigma: float, initial: np.ndarray, seed: int) -> RecombiningES:
    settings = TruncationESSettings(sigma, size, parent_fraction=0.2, recombination="weighted")
    return RecombiningES(settings, initial, seed)


def test_recombination_moves_the_mean_by_the_weighted_noise() -> None:
    strategy, pool = _recombining(20, 0.4, np.zeros(5), 3), pool_for(sphere)
    candidates = strategy.ask()
    fitness = pool.evaluate(candidates).fitness
    rows = candidates.members(NOISE, np.argsort(-fitness))
    expected = strategy.weights @ rows
    strategy.tell(candidates, fitness, pool.population())
    np.testing.assert_allclose(strategy.mean, expected, rtol=1e-9)


def test_step_size_control_converges_on_the_sphere() -> None:
    strategy, pool = _recombining(40, 1.0, np.full(5, 3.0), 0), pool_for(sphere)
    for _ in range(150):
        candidates = strategy.ask()
        strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
    assert sphere(strategy.parameters()) > -1e-12


def test_a_pruned_tree_keeps_what_the_leaves_descend_from() -> None:
    tree, none = GenomeTree(np.zeros(3)), np.array([-1, -1, -1])
    leaves = tree.grow(np.array([0, 0]), none[:2], 1, np.array([4, 5]), np.array([0.1, 0.1]))
    leaves = tree.grow(leaves[[0, 0, 1]], none, 2, np.array([7, 0, 9]), np.array([0.2, 0.0, 0.2]))
    kept = tree.prune(leaves[:2])
    genomes = tree.genomes(kept)
    np.testing.assert_array_equal(genomes.offsets, [0, 2, 3])
    np.testing.assert_array_equal(genomes.members, [4, 7, 4])
    np.testing.assert_array_equal(genomes.sigmas, [0.1, 0.2, 0.1])
    assert tree.parents.size == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"population_size": 4},
            "at least 5 to leave a parent at --parent-fraction 0.2, got 4; use 5 or more",
        ),
        ({"population_size": 3, "parent_fraction": 0.5}, "at least 4"),
        ({"parent_fraction": 1.5}, r"--parent-fraction must lie in \(0, 1\), got 1.5"),
        ({"sigma": 0.0}, "--sigma must be positive, got 0.0"),
        ({"sigma_decay": 1.5}, "--sigma-decay must lie in"),
        ({"elite_episodes": 0}, "at least 1"),
        ({"sigma_floor": 0.6}, "--sigma-floor must lie between 0 and --sigma 0.5, got 0.6"),
        ({"sigma_generations": 10}, "with a --sigma-floor above 0 to go down to"),
        ({"sigma_decay": 0.9, "self_adaptive": True}, "sigma follows one of"),
        (
            {"adaptation_rate": 0.1},
            "--adaptation-rate must lie in (0, 1], with --self-adaptive, got 0.1".replace(
                "(", "\\("
            ),
        ),
        ({"crossover": 1.1}, "--crossover must lie between 0 and 1, got 1.1"),
        (
            {"recombination": "weighted", "crossover": 0.1},
            "--crossover belongs to --recombination none",
        ),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        TruncationES(TruncationESSettings(**settings), np.zeros(3), 0)
