"""Running statistics: exact against NumPy, stable, and independent of how chunks are cut only
through their order.
"""

from __future__ import annotations

import numpy as np
import pytest

from esengine.policies import RunningStatistics
from esengine.policies.normalizer import (
    accumulate,
    accumulate_reference,
    merge_moments,
    merge_moments_reference,
    reach_scale,
)


def moments_of(observations: np.ndarray) -> np.ndarray:
    moments = np.zeros(1 + 2 * observations.shape[1])
    for observation in observations:
        accumulate(moments, observation)
    return moments


def test_accumulate_equals_its_reference() -> None:
    observations = np.random.default_rng(0).standard_normal((200, 5)).astype(np.float32)
    expected = np.zeros(11)
    for observation in observations:
        accumulate_reference(expected, observation)
    np.testing.assert_array_equal(moments_of(observations), expected)


def test_merging_equals_its_reference() -> None:
    first, second = (
        np.random.default_rng(seed).standard_normal((50 + seed, 5)).astype(np.float32)
        for seed in (1, 2)
    )
    for start in (np.zeros(11), moments_of(first)):
        expected, ours = start.copy(), start.copy()
        merge_moments(ours, moments_of(second))
        merge_moments_reference(expected, moments_of(second))
        np.testing.assert_array_equal(ours, expected)


def test_merged_chunks_give_mean_and_variance_of_all_observations() -> None:
    observations = (
        np.random.default_rng(1).standard_normal((1000, 3)) * [1, 10, 0.1] + [0, 5, -3]
    ).astype(np.float32)
    statistics = RunningStatistics.empty(3)
    for chunk in np.split(observations, [10, 10, 400, 999]):
        statistics.merge(moments_of(chunk))
    assert statistics.count == 1000
    np.testing.assert_allclose(statistics.mean, observations.mean(0, np.float64), rtol=1e-12)
    np.testing.assert_allclose(
        statistics.m2 / 999, observations.var(0, np.float64, ddof=1), rtol=1e-12
    )


def test_a_large_mean_does_not_spoil_the_variance() -> None:
    observations = (1000 + np.random.default_rng(2).standard_normal((200_000, 1))).astype(
        np.float32
    )
    statistics = RunningStatistics.empty(1)
    for chunk in np.split(observations, 100):
        statistics.merge(moments_of(chunk))
    assert statistics.m2[0] / statistics.count == pytest.approx(1, abs=0.02)


def test_a_coordinate_that_never_varies_is_switched_off() -> None:
    observations = np.column_stack([np.arange(10.0), np.full(10, 7.0)]).astype(np.float32)
    statistics = RunningStatistics.empty(2)
    statistics.merge(moments_of(observations))
    mean, inverse_std = statistics.scale()
    assert mean[1] == 7
    assert inverse_std[1] == 0
    assert inverse_std[0] == pytest.approx(1 / np.std(np.arange(10), ddof=1), rel=1e-6)


def test_no_observation_means_no_scaling() -> None:
    mean, inverse_std = RunningStatistics.empty(2).scale()
    np.testing.assert_array_equal(mean, [0, 0])
    np.testing.assert_array_equal(inverse_std, [1, 1])


def test_packed_statistics_merge_back_to_the_same_bits() -> None:
    statistics = RunningStatistics.empty(2)
    statistics.merge(
        moments_of(np.random.default_rng(3).standard_normal((50, 2)).astype(np.float32))
    )
    restored = RunningStatistics.empty(2)
    restored.merge(statistics.pack())
    np.testing.assert_array_equal(restored.pack(), statistics.pack())


def test_the_reach_does_not_depend_on_how_long_an_expert_rests() -> None:
    way = np.array([[0.3, 2.0], [-0.1, 2.0], [0.05, 2.0]])
    for rest in (10, 10_000):
        seen = np.concatenate([way, np.tile([[0.0, 2.0]], (rest, 1))])
        mean, inverse = reach_scale(seen)
        scaled = (seen - mean) * inverse
        assert abs(scaled[:, 0]).max() == pytest.approx(1)
        assert abs(scaled[:3, 0]).min() > 0.1, "the way to the rest keeps its size"
        assert inverse[1] == 0, "what never varies has no signal"
