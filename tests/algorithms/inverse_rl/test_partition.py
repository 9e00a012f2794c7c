"""Sampled partition functions against the exact ones."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

from esengine.algorithms.inverse_rl.partition_function import (
    Partition,
    estimate_partition,
    mixture_log_densities,
)
from examples.tabular import (
    Array,
    TabularMDP,
    count_visits,
    sample_trajectories,
    soft_policy,
    trajectory_model,
)

HORIZON, STATES, ACTIONS = 6, 6, 3


class Sampled:
    """Trajectories of two policies in a process, weighted for a reward."""

    def __init__(self, deterministic: bool, num: int, seed: int = 0) -> None:
        fixed, generator = np.random.default_rng(5), np.random.default_rng(seed)
        shape = (STATES, ACTIONS)
        rows = (
            np.eye(STATES)[fixed.integers(STATES, size=shape)]
            if deterministic
            else fixed.dirichlet(np.ones(STATES), shape)
        )
        self.mdp = TabularMDP(rows, np.full(STATES, 1 / STATES), HORIZON)
        self.rewards = fixed.normal(size=shape)
        policies = [soft_policy(self.mdp, scale * self.rewards)[0] for scale in (0.0, 0.7)]
        parts = [sample_trajectories(self.mdp, policy, num // 2, generator) for policy in policies]
        states, actions = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        log_q = np.stack(
            [
                np.log(policy[np.arange(HORIZON), states[:, :-1], actions]).sum(1)
                for policy in policies
            ]
        )
        self.visits = count_visits(self.mdp, states, actions)
        self.returns: Array = np.einsum("msa,sa->m", self.visits, self.rewards)
        self.partition: Partition = estimate_partition(self.returns, mixture_log_densities(log_q))

    def gradient(self) -> Array:
        """The gradient of log Z."""
        return np.asarray(np.einsum("m,msa->sa", self.partition.weights, self.visits))


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_sampled_gradient_is_within_three_standard_errors_of_the_exact_one(
    deterministic: bool,
) -> None:
    scores, inside = [], 0
    for seed in range(20):
        sampled = Sampled(deterministic, 4000, seed)
        log_z, exact = trajectory_model(sampled.mdp, sampled.rewards)
        deviations = sampled.visits - sampled.gradient()
        errors = np.sqrt(
            np.einsum("m,msa->sa", sampled.partition.weights**2, deviations**2)
        )  # of a self-normalised mean
        scores.append((sampled.gradient() - exact) / errors)
        low, high = sampled.partition.interval(np.random.default_rng(seed))
        inside += low < log_z < high
    assert np.mean(np.abs(scores) < 3) > 0.99
    assert np.std(scores) == pytest.approx(1, abs=0.2)
    assert inside >= 16  # of 20 intervals that hold it 19 times


def test_the_error_falls_with_the_square_root_of_the_samples() -> None:
    sizes = [200, 800, 3200, 12800]
    _, exact = trajectory_model(Sampled(False, 2).mdp, Sampled(False, 2).rewards)
    errors = [
        np.sqrt(
            np.mean(
                [np.sum((Sampled(False, size, seed).gradient() - exact) ** 2) for seed in range(12)]
            )
        )
        for size in sizes
    ]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.65 < slope < -0.35


def test_weights_are_equal_where_the_samples_come_from_the_model_itself() -> None:
    sampled = Sampled(True, 2000)
    policy, values = soft_policy(sampled.mdp, sampled.rewards)
    states, actions = sample_trajectories(sampled.mdp, policy, 500, np.random.default_rng(0))
    log_q = np.log(policy[np.arange(HORIZON), states[:, :-1], actions]).sum(1)
    returns = np.einsum("msa,sa->m", count_visits(sampled.mdp, states, actions), sampled.rewards)
    start = np.isin(states[:, 0], [2])  # from one start log Z is its soft value
    partition = estimate_partition(returns[start], log_q[start])
    assert partition.effective_sample_size == pytest.approx(start.sum())
    assert partition.log_z == pytest.approx(values[0, 2], abs=1e-12)


def test_the_most_promising_trajectories_alone_report_their_bias() -> None:
    sampled = Sampled(True, 2000)
    kept, bias = sampled.partition.most_promising(200, sampled.returns)
    assert np.count_nonzero(kept.weights) == 200
    assert sampled.returns[kept.weights > 0].min() >= sampled.returns[kept.weights == 0].max()
    assert bias == kept.log_z - sampled.partition.log_z < 0
    everything, no_bias = sampled.partition.most_promising(2000, sampled.returns)
    assert no_bias == 0
    np.testing.assert_array_equal(everything.weights, sampled.partition.weights)
    with pytest.raises(ValueError, match="num_kept must lie between 1 and 2000, got 0"):
        sampled.partition.most_promising(0, sampled.returns)


def test_tempered_weights_are_exact_where_the_samples_support_them_and_flat_where_not() -> None:
    partition = Sampled(True, 2000).partition
    share = partition.effective_sample_size / 2000
    same, power = partition.tempered(0.9 * share)
    assert power == 1
    assert same is partition

    far = estimate_partition(np.array([0.0, 900.0, 0.0, -400.0]), np.zeros(4))
    assert far.effective_sample_size == pytest.approx(1)
    tempered, power = far.tempered(0.5)
    assert 0 < power < 0.01
    assert tempered.effective_sample_size == pytest.approx(2)
    assert np.argsort(tempered.weights).tolist()[::3] == [3, 1]

    kept, _ = far.most_promising(2, np.arange(4.0))
    assert np.count_nonzero(kept.tempered(0.9)[0].weights) == 2


def test_a_trajectory_without_a_density_is_refused() -> None:
    with pytest.raises(ValueError, match="a deterministic policy has no density"):
        estimate_partition(np.zeros(3), np.array([0.0, np.inf, 0.0]))


def test_weights_of_huge_returns_stay_finite() -> None:
    partition = estimate_partition(np.array([1e4, 1e4 + 1, -1e4]), np.zeros(3))
    assert np.isfinite(partition.log_z)
    assert partition.weights.sum() == pytest.approx(1)
    assert partition.effective_sample_size < 2


def test_the_gradient_of_the_density_ratio_gan_is_that_of_inverse_rl() -> None:
    example = Path(__file__).parents[3] / "examples" / "gan_is_inverse_rl.py"
    names = runpy.run_path(str(example))
    np.testing.assert_allclose(names["gan_gradient"], names["irl_gradient"], atol=1e-8)
    assert np.abs(names["irl_gradient"]).max() > 0.1
