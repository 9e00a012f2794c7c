"""Limits of training episodes: a cap that grows, and what a member's fitness is made of."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from esengine.candidates import AntitheticPairs, MutatedParents, PolicyEpisodes
from esengine.problems import (
    FAILED,
    MEMBER,
    OK,
    ObjectiveProblem,
    Summary,
)
from esengine.problems.episode_limits import EpisodeLimits
from esengine.problems.evaluations import Evaluations
from tests.support.problems import NOISE, pairs, problem_for, run


def test_the_cap_becomes_twice_the_mean_length_once_a_tenth_of_the_members_reach_it() -> None:
    limits = EpisodeLimits(cap=20)
    limits.adapt(np.array([20.0] + [5.0] * 19))
    assert limits.cap == 20
    limits.adapt(np.array([20.0] * 2 + [5.0] * 18))
    assert limits.cap == 20  # twice the mean is less, and the cap never shrinks
    limits.adapt(np.array([20.0] * 16 + [10.0] * 4))
    assert limits.cap == 36
    limits.adapt(np.full(20, 36.0))
    assert limits.cap == 72
    other = EpisodeLimits()
    other.unpack(limits.pack())
    assert other == limits


def test_training_episodes_are_capped_and_evaluations_are_not() -> None:
    problem = problem_for("Pendulum-v1", limits=EpisodeLimits(cap=30), max_episode_steps=90)
    records, _ = run(problem, pairs(problem))
    assert (records["steps"] == 30).all()
    records, _ = run(problem, PolicyEpisodes(0, 0, 4, np.zeros(problem.dimension, np.float32)))
    assert (records["steps"] == 90).all()


def test_failed_members_rank_last() -> None:
    records = np.zeros(2, MEMBER)
    records["fitness"] = [5.0, np.nan]
    records["status"] = [OK, FAILED]
    assert Evaluations(records, {}, 0, 0).fitness.tolist() == [5.0, -math.inf]


RETURNS = np.array([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]])


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (Summary(), [3.0, 1.0]),
        (Summary("min"), [1.0, 0.0]),
        (Summary("quantile", 0.75), [4.0, 1.5]),
    ],
)
def test_a_members_fitness_is_a_statistic_of_its_returns(
    summary: Summary, expected: list[float]
) -> None:
    assert summary(RETURNS).tolist() == expected


def test_the_statistic_is_of_training_episodes_less_their_bonus() -> None:
    plain: dict[str, Any] = {"episodes_per_member": 3, "env_backend": "gymnasium"}
    single, _ = run(problem_for("CartPole-v1", **plain), pairs(problem_for("CartPole-v1"), size=4))
    worst = problem_for("CartPole-v1", summary=Summary("min"), survival_bonus=0.25, **plain)
    records, _ = run(worst, pairs(worst, size=4))
    assert (records["fitness"] < single["fitness"]).all()
    np.testing.assert_array_equal(
        records["fitness"] / 0.75, np.round(records["fitness"] / 0.75)
    )  # a return is its steps
    evaluated, _ = run(worst, PolicyEpisodes(0, 0, 3, np.zeros(worst.dimension, np.float32)))
    np.testing.assert_array_equal(evaluated["fitness"], evaluated["steps"])


def test_a_noisy_objective_gets_seeds_and_pairs_share_them() -> None:
    seen: list[int] = []

    def noisy(x: np.ndarray, seed: int) -> float:
        seen.append(seed)
        return float(seed % 1000)

    problem = ObjectiveProblem(
        noisy, 3, episodes_per_member=2, summary=Summary("min"), antithetic=True
    )
    candidates = AntitheticPairs(0, 1, 4, 0.5, np.zeros(3))
    records, _ = problem.evaluate(candidates, 0, candidates.rows(NOISE, 0, 4))
    assert seen[0:2] == seen[2:4]  # the two of a pair
    assert len(set(seen)) == 4
    assert records["episodes"].tolist() == [2] * 4
    assert records["fitness"].tolist() == [
        min(seed % 1000 for seed in seen[2 * i : 2 * i + 2]) for i in range(4)
    ]
    everybody = ObjectiveProblem(noisy, 3, episode_seeds="generation")
    records, _ = everybody.evaluate(candidates, 0, candidates.rows(NOISE, 0, 4))
    assert len(set(records["fitness"])) == 1


def test_candidates_for_the_elite_are_evaluated_again_where_there_is_noise() -> None:
    candidates = MutatedParents(
        0, 1, 6, 0.5, num_rows=3, num_unchanged=2, parents=np.zeros((3, 2)), unchanged_episodes=5
    )
    rows = candidates.rows(NOISE, 0, 6)
    noisy, _ = ObjectiveProblem(lambda x, seed: float(seed), 2).evaluate(candidates, 0, rows)
    assert noisy["episodes"].tolist() == [5, 5, 1, 1, 1, 1]
    assert noisy["fitness"][0] == noisy["fitness"][1]  # on the same seeds
    exact, _ = ObjectiveProblem(lambda x: 1.0, 2).evaluate(candidates, 0, rows)
    assert exact["episodes"].tolist() == [1] * 6
