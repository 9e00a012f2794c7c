"""Novelty: distances, mixing, the archive, and behaviours from real rollouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from esengine.algorithms.evolution.ranking import centred_ranks
from esengine.algorithms.novelty import Novelty, NoveltySettings, mean_distances
from esengine.errors import UserError
from esengine.problems.behaviors import Behavior
from tests.support.problems import pairs, problem_for, run

RANDOM = np.random.default_rng(0)
RETURNS, BEHAVIORS = RANDOM.standard_normal(30), RANDOM.standard_normal((30, 2))


def test_distances_are_to_the_nearest_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    archive = RANDOM.standard_normal((17, 2))
    apart = np.linalg.norm(BEHAVIORS[:, None] - archive, axis=2)
    expected = np.sort(apart, axis=1)[:, :10].mean(axis=1)
    np.testing.assert_allclose(mean_distances(BEHAVIORS, archive, 10), expected)
    monkeypatch.setattr("esengine.algorithms.novelty._BLOCK", 100)
    np.testing.assert_allclose(mean_distances(BEHAVIORS, archive, 10), expected)
    np.testing.assert_allclose(
        mean_distances(BEHAVIORS, archive[:3], 10), apart[:, :3].mean(axis=1)
    )
    assert (mean_distances(BEHAVIORS, archive[:0], 10) == 0).all()


def test_ns_follows_novelty_nsr_half_and_nsra_begins_with_the_return() -> None:
    own = np.zeros(2)
    novelty = mean_distances(BEHAVIORS, own[None], 10)
    np.testing.assert_array_equal(Novelty("ns", 10, 2).fitness(RETURNS, BEHAVIORS, own), novelty)
    mixed = (centred_ranks(RETURNS) + centred_ranks(novelty)) / 2
    np.testing.assert_allclose(Novelty("nsr", 10, 2).fitness(RETURNS, BEHAVIORS, own), mixed)
    np.testing.assert_allclose(
        Novelty("nsra", 10, 2).fitness(RETURNS, BEHAVIORS, own), centred_ranks(RETURNS)
    )


@pytest.mark.parametrize("kind", ["ns", "nsr"])
def test_failed_members_stay_last(kind: Any) -> None:
    returns, behaviors = RETURNS.copy(), BEHAVIORS.copy()
    returns[3], behaviors[5] = -np.inf, np.nan
    fitness = Novelty(kind, 10, 2).fitness(returns, behaviors, np.zeros(2))
    assert np.flatnonzero(np.isneginf(fitness)).tolist() == [3, 5]


def test_the_weight_of_nsra_falls_in_stagnation_and_rises_with_improvement() -> None:
    novelty = Novelty("nsra", 10, 2)
    novelty.tell(np.zeros(2), 1.0)
    for _ in range(100):
        novelty.tell(np.zeros(2), 0.5)
    assert novelty.weight == pytest.approx(0.9)
    novelty.tell(np.zeros(2), 2.0)
    assert novelty.weight == pytest.approx(0.95)
    other = Novelty("nsra", 10, 2)
    other.restore({name: np.array(array) for name, array in novelty.state().items()})
    for each in (novelty, other):
        each.tell(np.ones(2), 3.0)
    assert other.state()["numbers"].tolist() == novelty.state()["numbers"].tolist()
    assert len(other.archive) == 103


@pytest.mark.parametrize("env_id", ["CartPole-v1", "InvertedPendulum-v5"])
def test_a_behaviour_is_the_mean_of_the_last_observations(env_id: str) -> None:
    ends = []
    for episodes in (1, 2):
        problem = problem_for(
            env_id, behavior=Behavior.of_observation(4, (0, 2)), episodes_per_member=episodes
        )
        _, arrays = run(problem, pairs(problem, size=4))
        ends.append(arrays["behavior"])
    assert ends[0].shape == (4, 2)
    assert np.isfinite(ends).all()
    assert (ends[0] != ends[1]).any()
    stepped = problem_for(
        env_id, behavior=Behavior.of_observation(4, (0, 2)), env_backend="gymnasium"
    )
    _, arrays = run(stepped, pairs(stepped, size=4))
    np.testing.assert_allclose(arrays["behavior"], ends[0], atol=1e-5)


def test_a_users_function_sees_the_environment_as_the_episode_left_it() -> None:
    def final_position(env: Any, observation: np.ndarray) -> Any:
        np.testing.assert_allclose(
            observation[:3], env.data.qpos[2:5]
        )  # the swimmer does not observe where it is
        return env.data.qpos[:2]

    problem = problem_for(
        "Swimmer-v5", behavior=Behavior(2, function=final_position), max_episode_steps=50
    )
    _, arrays = run(problem, pairs(problem, size=6))
    assert len(np.unique(arrays["behavior"][:, 0])) == 6


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"novelty_neighbors": 0}, "--novelty-neighbors must be at least 1, got 0"),
        ({"novelty": "ns", "behavior": "a:b", "behavior_indices": (0,)}, "drop one of them"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        NoveltySettings(**settings).check()


def test_an_index_must_be_in_the_observation() -> None:
    with pytest.raises(
        UserError,
        match="--behavior-indices must lie between 0 and 3, the observation's numbers, got 4",
    ):
        Behavior.of_observation(4, (1, 4))
