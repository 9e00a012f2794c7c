"""Populations: messages survive the trip, and every way to build a row gives the same bits."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.typing import NDArray

from esengine.candidates import (
    AntitheticPairs,
    Candidates,
    GaussianSamples,
    Genomes,
    LineVariations,
    MutatedParents,
    PolicyEpisodes,
    ScaledSamples,
    chunk_size,
    chunks,
)
from esengine.noise import NoiseTable, create_table, kernels
from esengine.ranks.node_memory import pack, unpack

NOISE = create_table(1, 16, 2000, None)
DTYPES = [np.float32, np.float64]


def parents_of(dtype: type[Any], num_rows: int = 5, dimension: int = 40) -> NDArray[Any]:
    return np.random.default_rng(0).standard_normal((num_rows, dimension)).astype(dtype)


def gaussian(population_size: int = 300, n: int = 6) -> GaussianSamples:
    random = np.random.default_rng(1)
    mean, matrix = random.standard_normal(n), random.standard_normal((n, n))
    return GaussianSamples(7, 3, population_size, 0.5, mean, kernels.pack_panels(matrix))


def antithetic(population_size: int = 300, dtype: type[Any] = np.float32) -> AntitheticPairs:
    return AntitheticPairs(
        7, 3, population_size, 0.5, np.random.default_rng(1).standard_normal(20).astype(dtype)
    )


def scaled(population_size: int = 300, antithetic: bool = True) -> ScaledSamples:
    mean, deviations = np.random.default_rng(1).standard_normal((2, 20)).astype(np.float32)
    return ScaledSamples(7, 3, population_size, antithetic, mean, deviations)


def lines(population_size: int = 300, line_sigma: float = 0.2) -> LineVariations:
    first, second = np.random.default_rng(1).integers(5, size=(2, population_size))
    parents = parents_of(np.float64)
    return LineVariations(7, 3, population_size, 0.01, line_sigma, parents, first, second)


def test_a_variation_is_noise_and_a_step_along_the_line_to_the_second_parent() -> None:
    varied, alone = (lines(300, sigma).rows(NOISE, 0, 300) for sigma in (0.2, 0.0))
    population = lines()
    apart = population.parents[population.second] - population.parents[population.first]
    steps = (varied - alone)[:, 0] / np.where(apart[:, 0], apart[:, 0], np.inf)
    np.testing.assert_allclose(varied - alone, steps[:, None] * apart, atol=1e-12)
    assert 0.15 < steps[apart[:, 0] != 0].std() < 0.25
    noise = alone - population.parents[population.first]
    assert 0.0095 < noise.std() < 0.0105


@given(st.integers(1, 10**4), st.integers(1, 300))
def test_chunks_cover_the_population_in_order(population_size: int, size: int) -> None:
    bounds = chunks(population_size, size)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == population_size
    assert all(stop - start == size for start, stop in bounds[:-1])
    assert all(before[1] == after[0] for before, after in itertools.pairwise(bounds))


def test_small_populations_are_handed_out_member_by_member() -> None:
    assert chunk_size(10_000) == 1
    assert len(chunks(10**6, chunk_size(10**6))) < 20_000


@pytest.mark.parametrize(
    "candidates",
    [
        gaussian(),
        antithetic(),
        scaled(),
        PolicyEpisodes(1, 2, 9, np.arange(4, dtype=np.float32), "final"),
        lines(),
    ],
    ids=["gaussian", "pairs", "scaled", "policy", "lines"],
)
def test_a_population_survives_its_message(candidates: Candidates) -> None:
    header, arrays = unpack(pack(*candidates.publish(None)))
    received = type(candidates).receive(header, arrays, None, NOISE)
    np.testing.assert_array_equal(received.rows(NOISE, 2, 4), candidates.rows(NOISE, 2, 4))
    assert received.episode_purpose == candidates.episode_purpose


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_selected_row_and_its_genome_have_the_same_bits(dtype: type[Any]) -> None:
    root = np.random.default_rng(3).standard_normal(1500).astype(dtype)
    first = MutatedParents(5, 1, 20, 0.1, parents=root[None, :])
    selected = np.array([3, 3, 17, 0])
    genomes = Genomes(
        root[None],
        np.zeros(4, np.int64),
        np.ones(4, np.int64),
        selected,
        np.full(4, 0.1),
        np.arange(5),
    )
    second = MutatedParents(
        5, 2, 20, 0.2, num_rows=4, num_unchanged=2, genomes=lambda: genomes, selected=selected
    )
    by_message = MutatedParents.receive(*unpack(pack(*second.publish(first))), first, NOISE)
    by_genome = MutatedParents.receive(*unpack(pack(*second.publish(None))), None, NOISE)
    assert by_message.parents is not None
    assert by_genome.parents is not None
    np.testing.assert_array_equal(by_message.parents, by_genome.parents)
    np.testing.assert_array_equal(by_message.rows(NOISE, 0, 20), by_genome.rows(NOISE, 0, 20))
    assert by_message.parents.dtype == dtype


def test_what_is_published_does_not_grow_with_the_parameters() -> None:
    sizes = []
    for dimension in (100, 2000):
        root = np.zeros(dimension, np.float32)
        first = MutatedParents(5, 1, 20, 0.1, parents=root[None, :])
        second = MutatedParents(5, 2, 20, 0.1, num_rows=4, selected=np.array([1, 2, 3, 4]))
        sizes.append(len(pack(*second.publish(first))))
    assert sizes[0] == sizes[1]


def test_unchanged_members_are_rows_and_the_others_mutations_of_the_rest() -> None:
    parents = parents_of(np.float64)
    candidates = MutatedParents(
        2, 4, 30, 0.3, num_rows=5, num_unchanged=2, unchanged_episodes=7, parents=parents
    )
    rows = candidates.rows(NOISE, 0, 30)
    np.testing.assert_array_equal(rows[:2], parents[:2])
    sources = candidates.parent_indices(np.arange(30))
    assert set(sources[2:]) <= {2, 3, 4}
    starts = NOISE.starts(2, 4, np.arange(30))
    for member in range(2, 30):
        expected = (
            parents[sources[member]] + 0.3 * NOISE.table[starts[member] : starts[member] + 40]
        )
        np.testing.assert_allclose(rows[member], expected, rtol=1e-6, atol=1e-6)
    assert [candidates.num_episodes(member) for member in (0, 1, 2)] == [7, 7, None]


@pytest.mark.parametrize(
    "candidates",
    [
        gaussian(33_000),
        antithetic(33_000),
        scaled(33_000),
        MutatedParents(2, 4, 33_000, 0.3, parents=parents_of(np.float32, 1)),
    ],
)
def test_one_row_has_the_bits_of_its_chunk(candidates: Candidates) -> None:
    size = chunk_size(33_000)
    assert size == 2
    whole = np.concatenate([candidates.rows(NOISE, *bounds) for bounds in chunks(33_000, size)])
    for member in (0, 1, 4567, 32_999):
        np.testing.assert_array_equal(candidates.row(NOISE, member), whole[member])


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_two_of_a_pair_mirror_each_other_however_they_are_cut(dtype: type[Any]) -> None:
    candidates = antithetic(30, dtype)
    rows = candidates.rows(NOISE, 0, 30)
    starts = NOISE.starts(7, 3, np.arange(15))
    for pair, start in enumerate(starts):
        step = dtype(0.5) * NOISE.table[start : start + 20]
        np.testing.assert_array_equal(rows[2 * pair], candidates.mean + step)
        np.testing.assert_array_equal(rows[2 * pair + 1], candidates.mean - step)
    for cuts in ([0, 1, 30], [0, 3, 4, 9, 30]):
        cut = np.concatenate(
            [candidates.rows(NOISE, *bounds) for bounds in itertools.pairwise(cuts)]
        )
        np.testing.assert_array_equal(cut, rows)


def test_a_sum_over_pairs_reads_each_window_once() -> None:
    candidates = antithetic(6)
    weights, starts = candidates.weighted_starts(NOISE, np.array([0.5, 0.25, 1, 1, 0, 2]))
    np.testing.assert_array_equal(weights, [0.25, -2])
    np.testing.assert_array_equal(starts, NOISE.starts(7, 3, np.array([0, 2])))


@pytest.mark.parametrize("antithetic", [False, True])
def test_scaled_samples_have_a_deviation_for_every_parameter(antithetic: bool) -> None:
    candidates = scaled(6, antithetic)
    starts = NOISE.starts(7, 3, np.array([0, 0, 1, 1, 2, 2]) if antithetic else np.arange(6))
    signs = [1, -1] * 3 if antithetic else [1] * 6
    for row, start, sign in zip(candidates.rows(NOISE, 0, 6), starts, signs, strict=True):
        noise = NOISE.table[start : start + 20]
        np.testing.assert_array_equal(
            row, candidates.mean + np.float32(sign) * (candidates.deviations * noise)
        )


def test_a_sum_of_squares_over_pairs_adds_their_weights() -> None:
    weights, starts = scaled(6).weighted_starts(NOISE, np.array([0.5, 0.25, 1, -1, 0, 2]), 2)
    np.testing.assert_array_equal(weights, [0.75, 2])
    np.testing.assert_array_equal(starts, NOISE.starts(7, 3, np.array([0, 2])))


@settings(max_examples=30)
@given(st.integers(0, 2**63), st.integers(1, 10**6))
def test_generations_use_different_noise(seed: int, generation: int) -> None:
    noise: NoiseTable = NOISE
    members = np.arange(256)
    shared = np.intersect1d(
        noise.starts(seed, generation, members), noise.starts(seed, generation + 1, members)
    )
    assert shared.size < 60  # 16 of 4096 slots would coincide by chance
