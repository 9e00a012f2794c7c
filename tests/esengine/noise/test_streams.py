"""Computed normals: Philox's published answers, the twins' bits, the distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from esengine.noise import streams as cn

KEY = np.uint64(0x123456789ABCDEF0)


def normals(first: int, count: int, key: np.uint64 = KEY) -> np.ndarray:
    out = np.empty(count, np.float32)
    cn.fill_normals(key, first, out)
    return out


@pytest.mark.parametrize(
    ("key", "counter", "words"),
    [
        (0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8))
    ],  # from Random123's known answers (kat_vectors)
)
def test_philox_gives_the_published_words(key: int, counter: int, words: tuple[int, ...]) -> None:
    assert tuple(cn.philox_reference(key, np.array([counter], np.uint64))[:, 0]) == words
    ours = np.empty((4, cn.BLOCK // 4), np.uint32)
    cn._philox(np.uint64(key), np.uint64(counter), ours)
    assert tuple(ours[:, 0]) == words


@pytest.mark.parametrize(
    ("first", "count"), [(0, 1), (0, 256), (0, 100_000), (255, 2), (1000, 3), (2**40 + 77, 70_000)]
)
def test_the_kernel_equals_its_twin_to_the_last_bit(first: int, count: int) -> None:
    expected = np.empty(count, np.float32)
    cn.fill_normals_reference(KEY, first, expected)
    np.testing.assert_array_equal(normals(first, count), expected)


def test_any_slice_is_a_part_of_the_whole() -> None:
    whole = normals(0, 5000)
    for first, stop in [(0, 1), (1, 255), (200, 300), (256, 512), (511, 4999)]:
        np.testing.assert_array_equal(normals(first, stop - first), whole[first:stop])


def test_the_distribution_is_normal_and_streams_are_unrelated() -> None:
    numbers = normals(0, 1 << 22).astype(np.float64)
    assert stats.kstest(numbers, "norm").pvalue > 1e-3
    error = 1 / np.sqrt(numbers.size)
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)):
        assert abs((numbers**power).mean() - moment) < 4 * np.sqrt(variance) * error
    assert 4.8 < np.abs(numbers).max() < 6.8
    lags = [np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1] for lag in (1, 2, 16, 64, 128, 256)]
    others = [
        np.corrcoef(numbers, normals(0, numbers.size, KEY ^ np.uint64(bit)))[0, 1]
        for bit in (1, 1 << 32, 1 << 63)
    ]
    assert np.abs([*lags, *others]).max() < 4 * error


def test_box_muller_is_as_exact_as_float32_allows() -> None:
    words = np.random.default_rng(0).integers(0, 2**32, (2, 1 << 16), dtype=np.uint32)
    words[0, :4] = 0, 1, 2**32 - 1, 2**31
    first, second = cn._box_muller_reference(words[0], words[1])
    uniform = (words[0].astype(np.float32) + np.float32(0.5)).astype(np.float64) / 2**32
    radius = np.sqrt(-2 * np.log(uniform))
    angle = 2 * np.pi * words[1].astype(np.float64) / 2**32
    for ours, exact in ((first, radius * np.cos(angle)), (second, radius * np.sin(angle))):
        assert np.abs(ours - exact).max() < 2e-6
    assert np.isfinite(first).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("first", [0, 300])
@pytest.mark.parametrize("squared", [False, True], ids=["noise", "squares"])
def test_a_sum_of_streams_equals_its_twin_however_it_is_cut(
    squared: bool, dtype: type[np.floating], first: int
) -> None:
    keys = cn.stream_keys(KEY, np.arange(5))
    weights = np.random.default_rng(1).standard_normal(5).astype(dtype)
    out, expected = np.ones(9000, dtype), np.ones(9000, dtype)
    cn.add_streams(keys, first, weights, squared, out)
    cn.add_streams_reference(keys, first, weights, squared, expected)
    np.testing.assert_array_equal(out, expected)
    piece = np.ones(1234, dtype)
    cn.add_streams(keys, first + 4321, weights, squared, piece)
    np.testing.assert_array_equal(piece, out[4321 : 4321 + 1234])


def test_no_two_members_share_a_stream() -> None:
    assert np.unique(cn.stream_keys(KEY, np.arange(1 << 20))).size == 1 << 20
