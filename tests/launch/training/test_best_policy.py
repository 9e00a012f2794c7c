"""The policy that a run saves: the best by evaluations on the same starts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.launch.training.best_policy import (
    BestPolicy,
    GivenPolicy,
    PolicyReturns,
    best_of,
)
from esengine.policies import load_policy
from tests.support.runs import rows
from tests.support.training import CONFIG, training

_SCALING = (np.zeros(1, np.float32), np.ones(1, np.float32))


def test_the_best_policy_gives_way_only_to_one_that_is_better_beyond_chance() -> None:
    first = np.array([-100.0, -200.0, -300.0, np.nan])
    lucky = first + np.array([30, -10, 10, 0])  # by 10, with a standard error of 11.5
    better = first + np.array([30, 10, 20, 0])  # by 20, with a standard error of 5.8
    failed = np.full(4, np.nan)
    best = BestPolicy(GivenPolicy(np.zeros(2), _SCALING, 0), 4)
    assert not best.is_known
    found = []
    for number, returns in enumerate([failed, first, first, lucky, failed, better, first]):
        best.judge(GivenPolicy(np.full(2, float(number)), _SCALING, number), returns)
        found.append((best.policy.generation, best.mean_return))
    assert found == [(0, None), (1, -200), (1, -200), (1, -200), (1, -200), (5, -180), (5, -180)]
    assert best.policy.row[0] == 5


def test_policies_are_compared_where_none_failed() -> None:
    assert best_of([np.array([1.0, 9.0]), np.array([2.0, np.nan])]) == 1
    assert best_of([np.array([1.0, np.nan]), np.array([np.nan, 2.0])]) == 1
    assert best_of([np.full(2, np.nan), np.full(2, np.nan)]) == 0


def returning(by_generation: Mapping[int, float], on_other_starts: Mapping[int, float]) -> Any:
    """Makes an evaluation return what it should of each generation's policy, in seven steps."""

    def wrap(_: Any) -> Any:
        def returns(policy: GivenPolicy, num_episodes: int, purpose: str) -> PolicyReturns:
            known = by_generation if purpose == "evaluation" else on_other_starts
            found = np.full(num_episodes, known[policy.generation])
            return PolicyReturns(found, found, 7)

        return returns

    return wrap


@pytest.mark.parametrize(
    ("on_other_starts", "expected"),
    [({0: 0.0, 2: 8.0, 4: 1.0}, 2), ({0: 0.0, 2: 3.0, 4: 4.0}, 4), ({0: 5.0, 2: 3.0, 4: 4.0}, 0)],
    ids=["best", "newest", "first"],
)
def test_a_run_ends_with_the_best_of_three_policies(
    tmp_path: Path, on_other_starts: dict[int, float], expected: int
) -> None:
    known = {0: 5.0, 2: 9.0, 4: 1.0}
    loop = training(tmp_path / "run", {"policy_returns": returning(known, on_other_starts)})
    policies = {0: loop.newest()}
    loop.callbacks = (lambda row: policies.update({row["generation"]: loop.newest()}),)
    result = loop.run()

    done = json.loads((tmp_path / "run" / "done.json").read_text())
    assert (result.policy_generation, done["policy_generation"]) == (expected, expected)
    np.testing.assert_array_equal(load_policy(tmp_path / "run").parameters, policies[expected].row)
    assert done["final_return"] == on_other_starts[expected]
    assert done["eval_env_steps"] == 7 * (3 + 3 + 1)  # on the way, in the choice, at the end
    best = [
        row["episode_return_best"] for row in rows(tmp_path / "run") if row["generation"] % 2 == 0
    ]
    assert best == [9.0, 9.0]


def test_a_policy_of_an_earlier_generation_is_saved_with_its_scaling(tmp_path: Path) -> None:
    known = {0: 5.0, 2: 1.0, 4: 1.0}
    loop = training(tmp_path / "run", {"policy_returns": returning(known, known)})
    assert loop.run().policy_generation == 0
    np.testing.assert_array_equal(load_policy(tmp_path / "run").observation_mean, 0)
    assert loop.newest().scaling[0].any()


def test_without_evaluations_the_newest_policy_is_saved(tmp_path: Path) -> None:
    config = replace(CONFIG, train=replace(CONFIG.train, eval_every=0))
    assert training(tmp_path / "run", config=config).run().policy_generation == 4


def test_the_state_of_another_run_is_refused() -> None:
    first = GivenPolicy(np.zeros(2), _SCALING, 0)
    state = BestPolicy(first, 5).state()
    with pytest.raises(ValueError, match=r"returns must have shape \(4,\)"):
        BestPolicy(first, 4).restore(state)
