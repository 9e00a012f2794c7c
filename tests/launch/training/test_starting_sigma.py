"""The step size that a search in an environment begins with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.algorithms import CMAESSettings, OpenAIESSettings
from esengine.candidates import AntitheticPairs, TrialPairs
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.starting_sigma import StartingSigma
from esengine.problems import episode_seeds
from tests.support.runs import rows
from tests.support.training import CONFIG, training

WIDE = RunConfig("cma-es", CONFIG.train, CMAESSettings(population_size=6))
NARROW = RunConfig("openai-es", CONFIG.train, OpenAIESSettings(population_size=6))


@pytest.mark.parametrize(
    ("config", "gains", "expected"),
    [
        (WIDE, {1: 3}, 1),
        (WIDE, {1: -9, 1 / 4: 0}, 1 / 4),
        (WIDE, {1: -9, 1 / 4: -8, 1 / 16: -1, 1 / 64: -2}, 1 / 16),
        (NARROW, {0.02: 5, 0.08: 4}, 0.02),
        (NARROW, {0.02: 5, 0.08: 5, 0.32: 1}, 0.08),
        (NARROW, {0.02: 0, 0.08: 0, 0.32: 0}, 0.32),
    ],
)
def test_a_step_size_is_chosen_by_what_the_best_fifth_of_members_gain(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: RunConfig,
    gains: dict[float, float],
    expected: float,
) -> None:
    """Two of ten members gain; the others lose."""
    tried = []
    starts = np.arange(10.0)

    def trial(self: StartingSigma, pool: Any, sigma: float) -> Any:
        if sigma == 0:
            return starts
        tried.append(sigma)
        return starts + np.where(np.arange(10) < 2, gains[sigma], -100.0)

    monkeypatch.setattr(StartingSigma, "_trial", trial)
    loop = training(tmp_path / "run", config=config)
    loop.begin()
    assert loop.method.metrics()["sigma"] == expected
    assert tried == list(gains)


def test_trials_count_as_training_and_see_the_observations_of_the_start(tmp_path: Path) -> None:
    loop = training(tmp_path / "run", config=NARROW)
    loop.begin()
    assert loop.counters["evaluations"] >= 10 + 10 + 20 + 20
    assert loop.counters["env_steps"] >= loop.counters["evaluations"]
    assert loop.newest().scaling[0].any()
    loop.run()
    assert rows(tmp_path / "run")[0]["evaluations"] >= loop.method.population_size * 4 + 60


@pytest.mark.parametrize(
    "changes",
    [{"novelty": "ns"}, {"goals": "curriculum"}],
)
def test_nothing_is_tried_where_fitness_changes_its_meaning(changes: dict[str, Any]) -> None:
    train = replace(TrainSettings(env_id="CartPole-v1"), **changes)
    assert not StartingSigma.is_needed(RunConfig("cma-es", train, CMAESSettings()))


def test_a_step_size_that_is_set_is_not_tried() -> None:
    assert not StartingSigma.is_needed(CONFIG)
    assert StartingSigma.is_needed(WIDE)


@pytest.mark.parametrize("how", ["pair", "generation", "member"])
def test_each_pair_of_a_trial_has_a_start_that_the_policy_it_is_compared_with_meets(
    how: Any,
) -> None:
    row = np.zeros(3, np.float32)
    pairs = TrialPairs(0, 0, 6, 0.5, row)
    alone = TrialPairs(0, 0, 3, 0.0, row, 1)
    met = episode_seeds(pairs, np.arange(6), 1, how, False)[:, 0]
    np.testing.assert_array_equal(
        met, np.repeat(episode_seeds(alone, np.arange(3), 1, how, True)[:, 0], 2)
    )
    assert len(set(met.tolist())) == 3
    searched = AntitheticPairs(0, 1, 6, 0.5, row)
    assert not set(met.tolist()) & set(
        episode_seeds(searched, np.arange(6), 1, how, True)[:, 0].tolist()
    )
