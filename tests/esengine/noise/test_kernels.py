"""Each kernel against its NumPy twin, and against itself on other cuts of the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from esengine.noise import kernels

DTYPES = [np.float32, np.float64]


@pytest.fixture(scope="module")
def table() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal(1 << 17).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 7, 1000, 40_000])
def test_perturb_equals_its_reference(
    table: NDArray[np.float32], dtype: type[Any], size: int
) -> None:
    parent = np.random.default_rng(1).standard_normal(size).astype(dtype)
    out, expected = np.empty_like(parent), np.empty_like(parent)
    kernels.perturb(parent, table, 48, dtype(0.3), out)
    kernels.perturb_reference(parent, table, 48, dtype(0.3), expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_equal_their_reference_and_a_scale_of_zero_copies(
    table: NDArray[np.float32], dtype: type[Any]
) -> None:
    random = np.random.default_rng(1)
    parents = random.standard_normal((3, 1001)).astype(dtype)
    parents[0, 0] = -0.0
    sources, starts = np.array([0, 2, 2, 1]), random.integers(0, 4000, 4) * kernels.ALIGNMENT
    scales = np.array([0, 0.1, 0.2, 0.3], dtype)
    rows, expected = np.empty((4, 1001), dtype), np.empty((4, 1001), dtype)
    kernels.perturb_rows(parents, sources, table, starts, scales, rows)
    kernels.perturb_rows_reference(parents, sources, table, starts, scales, expected)
    np.testing.assert_array_equal(rows, expected)
    assert rows[0].tobytes() == parents[0].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_antithetic_pair_equals_its_reference(
    table: NDArray[np.float32], dtype: type[Any]
) -> None:
    mean = np.random.default_rng(1).standard_normal(1001).astype(dtype)
    pair, expected = np.empty((2, mean.size), dtype), np.empty((2, mean.size), dtype)
    kernels.perturb_pair(mean, table, 64, dtype(0.3), *pair)
    kernels.perturb_pair_reference(mean, table, 64, dtype(0.3), *expected)
    np.testing.assert_array_equal(pair, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("first", "num_rows"), [(0, 6), (0, 5), (3, 1), (3, 4), (5, 2), (4, 1)])
def test_rows_of_pairs_equal_their_reference(
    table: NDArray[np.float32], dtype: type[Any], first: int, num_rows: int
) -> None:
    mean = np.random.default_rng(1).standard_normal(700).astype(dtype)
    pairs = np.arange(first // 2, (first + num_rows + 1) // 2)
    out, expected = np.empty((num_rows, 700), dtype), np.empty((num_rows, 700), dtype)
    kernels.perturb_pairs(mean, table, pairs * 32, dtype(0.3), first, out)
    kernels.perturb_pairs_reference(mean, table, pairs * 32, dtype(0.3), first, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_scaled_samples_equal_their_reference(
    table: NDArray[np.float32], dtype: type[Any]
) -> None:
    mean, deviations = np.random.default_rng(1).standard_normal((2, 700)).astype(dtype)
    starts, signs = np.array([0, 0, 160]), np.array([1, -1, 1], dtype)
    out, expected = np.empty((3, 700), dtype), np.empty((3, 700), dtype)
    kernels.perturb_scaled(mean, deviations, table, starts, signs, out)
    kernels.perturb_scaled_reference(mean, deviations, table, starts, signs, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_members", [0, 1, 4, 13, 31])
def test_weighted_square_sum_equals_its_reference(
    table: NDArray[np.float32], dtype: type[Any], num_members: int
) -> None:
    random = np.random.default_rng(2)
    weights = random.standard_normal(num_members).astype(dtype)
    starts = random.integers(0, 1000, num_members) * kernels.ALIGNMENT
    out, expected, part = np.empty(33_000, dtype), np.empty(33_000, dtype), np.empty(20_001, dtype)
    kernels.weighted_square_sum(weights, table, starts, 5, out)
    kernels.weighted_square_sum_reference(weights, table, starts, 5, expected)
    kernels.weighted_square_sum(weights, table, starts, 5 + 777, part)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(part, out[777 : 777 + 20_001])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("num_members", [0, 1, 8, 13, 31])
def test_weighted_noise_sum_equals_its_reference(
    table: NDArray[np.float32], dtype: type[Any], num_members: int
) -> None:
    random = np.random.default_rng(2)
    weights = random.standard_normal(num_members).astype(dtype)
    starts = random.integers(0, 1000, num_members) * kernels.ALIGNMENT
    out, expected = np.empty(33_000, dtype), np.empty(33_000, dtype)
    kernels.weighted_noise_sum(weights, table, starts, 5, out)
    kernels.weighted_noise_sum_reference(weights, table, starts, 5, expected)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("cuts", [[1], [100, 16_384, 16_385], list(range(1000, 50_000, 777))])
def test_any_slicing_of_a_sum_gives_the_same_bits(
    table: NDArray[np.float32], cuts: list[int]
) -> None:
    random = np.random.default_rng(3)
    weights = random.standard_normal(21).astype(np.float32)
    starts = random.integers(0, 4000, 21) * kernels.ALIGNMENT
    whole = np.empty(50_000, np.float32)
    kernels.weighted_noise_sum(weights, table, starts, 0, whole)
    for first, stop in zip([0, *cuts], [*cuts, whole.size], strict=True):
        piece = np.empty(stop - first, np.float32)
        kernels.weighted_noise_sum(weights, table, starts, first, piece)
        np.testing.assert_array_equal(piece, whole[first:stop])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_chain_equals_one_perturbation_a_link(
    table: NDArray[np.float32], dtype: type[Any]
) -> None:
    random = np.random.default_rng(4)
    root = random.standard_normal(20_000).astype(dtype)
    starts = random.integers(0, 4000, 11) * kernels.ALIGNMENT
    scales = random.uniform(0.01, 0.1, 11).astype(dtype)
    out, expected, step_by_step = np.empty_like(root), np.empty_like(root), root.copy()
    kernels.apply_chain(root, table, starts, scales, out)
    kernels.apply_chain_reference(root, table, starts, scales, expected)
    for start, scale in zip(starts, scales, strict=True):
        kernels.perturb(step_by_step, table, start, scale, step_by_step)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(out, step_by_step)


@pytest.mark.parametrize("log2_slots", [6, 11, 16])
@pytest.mark.parametrize("key", [0, 1, 2**64 - 1, 0x123456789ABCDEF])
def test_no_two_members_share_a_window_start(log2_slots: int, key: int) -> None:
    starts = kernels.window_starts(np.uint64(key), np.arange(1 << log2_slots), log2_slots)
    assert np.unique(starts).size == 1 << log2_slots
    assert (starts % kernels.ALIGNMENT == 0).all()
    assert starts.max() == ((1 << log2_slots) - 1) * kernels.ALIGNMENT


def test_window_starts_of_neighbours_have_no_fixed_distance() -> None:
    starts = kernels.window_starts(np.uint64(7), np.arange(4096), 20)
    distances = np.unique(np.diff(starts))
    assert distances.size > 4000


def test_parents_are_drawn_uniformly() -> None:
    parents = kernels.parent_indices(np.uint64(9), np.arange(100_000), 0, 10)
    counts = np.bincount(parents, minlength=10)
    assert counts.min() > 10_000 - 5 * 95
    assert counts.max() < 10_000 + 5 * 95


@pytest.mark.parametrize(("num_rows", "n"), [(1, 1), (7, 5), (9, 16), (70, 37)])
@pytest.mark.parametrize("lower", [False, True])
def test_products_of_rows_equal_their_reference_however_they_are_cut(
    num_rows: int, n: int, lower: bool
) -> None:
    random = np.random.default_rng(3)
    rows, matrix = random.standard_normal((num_rows, n)), random.standard_normal((n, n))
    panels = kernels.pack_panels(np.tril(matrix) if lower else matrix)
    product = kernels.multiply_rows(rows, panels, lower)
    np.testing.assert_allclose(
        product, kernels.multiply_rows_reference(rows, panels, lower), rtol=1e-12, atol=1e-12
    )
    np.testing.assert_array_equal(product, kernels.multiply_rows(rows, panels, False))
    alone = [kernels.multiply_rows(rows[i : i + 1], panels, lower)[0] for i in range(num_rows)]
    np.testing.assert_array_equal(product, alone)


@pytest.mark.parametrize("lower", [False, True])
def test_sums_of_products_equal_their_reference_however_they_are_cut(lower: bool) -> None:
    left, right = np.random.default_rng(4).standard_normal((2, 50, 32))
    total, cut, expected = np.zeros((32, 32)), np.zeros((32, 32)), np.zeros((32, 32))
    kernels.add_products(left, right, lower, total)
    for part in (slice(0, 13), slice(13, 50)):
        kernels.add_products(
            np.ascontiguousarray(left[part]), np.ascontiguousarray(right[part]), lower, cut
        )
    kernels.add_products_reference(left, right, lower, expected)
    np.testing.assert_array_equal(total, cut)
    np.testing.assert_allclose(np.tril(total), np.tril(expected), rtol=1e-12, atol=1e-12)


def test_a_covariance_adapts_as_its_reference_and_stays_symmetric() -> None:
    random = np.random.default_rng(5)
    path, (C, rank_mu) = random.standard_normal(7), random.standard_normal((2, 7, 7))
    C, rank_mu = C + C.T, rank_mu + rank_mu.T
    expected = C.copy()
    kernels.adapt_covariance(C, 0.9, rank_mu, 0.03, path)
    kernels.adapt_covariance_reference(expected, 0.9, rank_mu, 0.03, path)
    np.testing.assert_allclose(C, expected, rtol=1e-13)
    np.testing.assert_array_equal(C, C.T)


def test_rows_of_noise_are_read_as_by_their_reference() -> None:
    table = np.random.default_rng(6).standard_normal(80).astype(np.float32)
    starts, scales = np.array([0, 48, 16]), np.array([1.0, -0.5, 3.0])
    rows, expected = np.empty((2, 3, 21))
    kernels.read_rows(table, starts, 2, scales, rows)
    kernels.read_rows_reference(table, starts, 2, scales, expected)
    np.testing.assert_array_equal(rows, expected)
