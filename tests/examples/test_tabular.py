"""Exact inverse RL: gradients against finite differences, models against enumeration, rewards up to
what can be known.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from examples.tabular import (
    Array,
    TabularMDP,
    causal_likelihood,
    count_visits,
    expected_visits,
    fit_rewards,
    sample_trajectories,
    soft_policy,
    trajectory_model,
)

GENERATOR = np.random.default_rng(3)


def world(
    deterministic: bool,
    horizon: int = 6,
    discount: float = 1.0,
    num_states: int = 5,
    num_actions: int = 3,
) -> TabularMDP:
    shape = (num_states, num_actions)
    if deterministic:
        transitions = np.eye(num_states)[GENERATOR.integers(num_states, size=shape)]
    else:
        transitions = GENERATOR.dirichlet(np.ones(num_states), size=shape)
    return TabularMDP(transitions, GENERATOR.dirichlet(np.ones(num_states)), horizon, discount)


def rewards_of(mdp: TabularMDP) -> Array:
    return GENERATOR.normal(size=(mdp.num_states, mdp.num_actions))


@pytest.mark.parametrize("discount", [1.0, 0.9])
@pytest.mark.parametrize("deterministic", [True, False])
def test_gradients_equal_central_differences(deterministic: bool, discount: float) -> None:
    mdp = world(deterministic, discount=discount)
    rewards, visits = rewards_of(mdp), expected_visits(mdp, soft_policy(mdp, rewards_of(mdp))[0])
    _, causal = causal_likelihood(mdp, rewards, visits)
    _, trajectory = trajectory_model(mdp, rewards)
    for index in np.ndindex(*rewards.shape):
        step = np.zeros_like(rewards)
        step[index] = 1e-5
        up, down = rewards + step, rewards - step
        causal_slope = (
            causal_likelihood(mdp, up, visits)[0] - causal_likelihood(mdp, down, visits)[0]
        ) / 2e-5
        assert causal[index] == pytest.approx(causal_slope, abs=1e-8)
        assert trajectory[index] == pytest.approx(
            (trajectory_model(mdp, up)[0] - trajectory_model(mdp, down)[0]) / 2e-5, abs=1e-8
        )


def test_the_trajectory_model_equals_the_sum_over_all_trajectories() -> None:
    mdp = world(deterministic=False, horizon=3, discount=0.9, num_states=3, num_actions=2)
    rewards = rewards_of(mdp)
    total, visits = 0.0, np.zeros_like(rewards)
    for states in itertools.product(range(3), repeat=4):
        for actions in itertools.product(range(2), repeat=3):
            chance = mdp.initial[states[0]] * np.prod(
                [mdp.transitions[states[t], actions[t], states[t + 1]] for t in range(3)]
            )
            weight = chance * np.exp(sum(0.9**t * rewards[states[t], actions[t]] for t in range(3)))
            total += weight
            for t in range(3):
                visits[states[t], actions[t]] += 0.9**t * weight
    log_z, expected = trajectory_model(mdp, rewards)
    assert log_z == pytest.approx(np.log(total), abs=1e-12)
    np.testing.assert_allclose(expected, visits / total, atol=1e-12)


def test_both_models_agree_where_transitions_are_deterministic_and_differ_by_luck_elsewhere() -> (
    None
):
    for deterministic in (True, False):
        mdp = world(deterministic)
        mdp = TabularMDP(mdp.transitions, np.eye(mdp.num_states)[0], mdp.horizon)
        rewards = 2 * rewards_of(mdp)
        policy, values = soft_policy(mdp, rewards)
        log_z, visits = trajectory_model(mdp, rewards)
        distance = np.abs(visits - expected_visits(mdp, policy)).max()
        if deterministic:
            assert log_z == pytest.approx(values[0, 0], abs=1e-12)
            assert distance < 1e-12
        else:
            assert (
                log_z > values[0, 0]
            )  # a soft choice among actions, and of the transitions as well
            assert distance > 1e-2


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_fitted_rewards_reproduce_the_experts_visits(discount: float) -> None:
    mdp = world(deterministic=False, discount=discount)
    visits = expected_visits(mdp, soft_policy(mdp, rewards_of(mdp))[0])
    fitted = fit_rewards(mdp, visits, penalty=1e-7)
    np.testing.assert_allclose(expected_visits(mdp, soft_policy(mdp, fitted)[0]), visits, atol=1e-5)


def test_sampled_visits_approach_the_expected_ones() -> None:
    mdp = world(deterministic=False, discount=0.9)
    policy, _ = soft_policy(mdp, rewards_of(mdp))
    counts = count_visits(mdp, *sample_trajectories(mdp, policy, 20_000, np.random.default_rng(0)))
    error = counts.std(0) / np.sqrt(len(counts))
    assert (np.abs(counts.mean(0) - expected_visits(mdp, policy)) < 4.5 * error + 1e-9).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transitions": np.ones((2, 1, 2))}, "transitions must hold probabilities"),
        ({"transitions": np.ones((2, 2))}, "transitions must have shape"),
        ({"initial": np.array([1.5, -0.5])}, "initial must hold probabilities"),
        ({"horizon": 0}, "horizon must be at least 1"),
    ],
)
def test_a_process_that_is_none_is_refused(changes: dict[str, object], message: str) -> None:
    good = {"transitions": np.full((2, 1, 2), 0.5), "initial": np.array([0.5, 0.5]), "horizon": 3}
    with pytest.raises(ValueError, match=message):
        TabularMDP(**(good | changes))  # type: ignore[arg-type]
