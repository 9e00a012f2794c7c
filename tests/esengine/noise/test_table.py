"""Noise: the table's contents, its size, the errors about it, and computed noise with the same
interface.
"""

from __future__ import annotations

import numpy as np
import pytest

from esengine.errors import UserError
from esengine.noise import (
    CounterNoise,
    Noise,
    NoiseTable,
    TableNeed,
    create_table,
    reserve,
    table_log2,
)
from esengine.noise.table import wrap
from esengine.ranks import node_memory


@pytest.fixture(scope="module")
def table() -> NoiseTable:
    return create_table(3, 20, 5000, None)


def test_the_table_is_standard_normal(table: NoiseTable) -> None:
    numbers = table.table[: 1 << 20].astype(np.float64)
    error = 1 / np.sqrt(numbers.size)
    assert abs(numbers.mean()) < 4 * error
    assert abs(numbers.var() - 1) < 4 * np.sqrt(2) * error
    assert abs((numbers**4).mean() - 3) < 4 * np.sqrt(96) * error


def test_windows_wrap_around(table: NoiseTable) -> None:
    assert table.table.size == (1 << 20) + wrap(5000)
    np.testing.assert_array_equal(table.table[1 << 20 :], table.table[: wrap(5000)])


def test_a_table_smaller_than_a_block_wraps_too() -> None:
    small = create_table(0, 10, 3000, None).table
    np.testing.assert_array_equal(small[1024:2048], small[:1024])
    np.testing.assert_array_equal(small[2048:3072], small[:1024])


@pytest.mark.parametrize("num_parts", [2, 3, 7])
def test_the_table_is_the_same_whoever_fills_it(table: NoiseTable, num_parts: int) -> None:
    memory = reserve([TableNeed(3, 20, 5000)])
    for part in reversed(range(num_parts)):
        shared = create_table(3, 20, 5000, memory, part, num_parts)
    memory.close()
    np.testing.assert_array_equal(shared.table, table.table)


def test_another_seed_gives_another_table(table: NoiseTable) -> None:
    other = create_table(4, 20, 5000, None).table
    assert abs(np.corrcoef(other, table.table)[0, 1]) < 0.005


@pytest.mark.parametrize(
    ("requested", "dimension", "population", "words"),
    [
        (1000, 1, 1, "power of two from 1024 on, or 0 for computed noise, got 1000; use 1024"),
        (1025, 1, 1, "power of two from 1024 on, or 0 for computed noise, got 1025; use 2048"),
        (
            1 << 20,
            1 << 19,
            10,
            "at least 4 x parameters and 16 x population = 2097152, got 1048576; use 2097152",
        ),
        (1 << 20, 10, 1 << 17, "16 x population = 2097152"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    requested: int | None, dimension: int, population: int, words: str
) -> None:
    with pytest.raises(UserError, match=words.replace("+", r"\+")):
        table_log2(requested, dimension, population)


@pytest.mark.parametrize(
    ("dimension", "population", "log2"), [(10, 10, 24), (10, 10**6, 25), (1 << 22, 10, 25)]
)
def test_the_default_size_grows_with_the_need(dimension: int, population: int, log2: int) -> None:
    assert table_log2(None, dimension, population) == log2


@pytest.mark.parametrize(
    ("requested", "dimension", "population"),
    [(0, 10, 10), (None, 1 << 27, 10), (None, 10, 1 << 25)],
)
def test_noise_is_computed_on_request_and_where_no_table_is_large_enough(
    requested: int | None, dimension: int, population: int
) -> None:
    assert table_log2(requested, dimension, population) is None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("source", ["table", "counter"])
def test_all_uses_of_noise_agree(table: NoiseTable, dtype: type[np.floating], source: str) -> None:
    noise: Noise = table if source == "table" else CounterNoise()
    starts = noise.starts(5, 2, np.arange(11))
    assert np.unique(starts).size == 11
    rows = np.empty((11, 5000), dtype)
    noise.read_rows(starts, 0, rows)
    part = np.empty((11, 40), dtype)
    noise.read_rows(starts, 160, part)
    np.testing.assert_array_equal(part, rows[:, 160:200])
    assert abs(rows.mean()) < 0.02
    assert np.abs(np.corrcoef(rows) - np.eye(11)).max() < 0.08
    weights = np.random.default_rng(0).standard_normal(11).astype(dtype)
    root = np.full(5000, 3, dtype)
    total, chain, links = np.empty(5000, dtype), np.empty(5000, dtype), root[None].copy()
    first_row = np.zeros(1, np.int64)
    noise.weighted_sum(weights, starts, 0, 1, total)
    noise.apply_chain(root, starts, weights, chain)
    expected = np.zeros(5000, dtype)
    for row, start, weight in zip(rows, starts, weights, strict=True):
        expected += weight * row
        noise.perturb(links, first_row, np.array([start]), np.array([weight]), links)
    np.testing.assert_array_equal(total, expected)
    np.testing.assert_array_equal(chain, links[0])
    pairs = np.empty((3, 5000), dtype)
    noise.perturb_pairs(root, starts[:2], 0.3, 1, pairs)
    for row, of, sign in zip(pairs, (0, 1, 1), (-1, 1, -1), strict=True):
        np.testing.assert_array_equal(row, root + dtype(sign * dtype(0.3)) * rows[of])
    squares, expected = np.empty(5000, dtype), np.zeros(5000, dtype)
    noise.weighted_sum(weights, starts, 0, 2, squares)
    for row, weight in zip(rows, weights, strict=True):
        expected += (weight * row) * row
    np.testing.assert_array_equal(squares, expected)
    noise.perturb_scaled(root, total, starts[:3], np.array([1, -1, 1], dtype), pairs)
    for row, of, sign in zip(pairs, rows, (1, -1, 1), strict=False):
        np.testing.assert_array_equal(row, root + sign * (total * of))
    part = np.empty(777, dtype)
    noise.weighted_sum(weights, starts, 1234, 1, part)
    np.testing.assert_array_equal(part, total[1234 : 1234 + 777])


def test_too_little_memory_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_memory, "free_bytes", lambda: (8 << 20) - 1)
    with pytest.raises(UserError) as error:
        reserve([TableNeed(0, 24, 100)])
    assert "must have 64.1 MB of memory free for the noise table, has 7.9 MB" in str(error.value)
    assert (
        "shrink it with --noise-table-size (now 16777216, in numbers of 4 bytes; 0 computes noise "
        "instead)" in str(error.value)
    )
