"""Runs on goals: a curriculum that chooses easier ones, hindsight between generations, any strategy
that has a mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest

from esengine.algorithms.goals.curriculum import Curriculum, GoalSettings
from esengine.algorithms.goals.hindsight import hindsight_transitions
from esengine.algorithms.planners.skills import farthest
from esengine.demonstrations import Trajectory
from esengine.goals import GoalLayout
from esengine.launch.cli import main
from esengine.seeding import generator
from tests.support.learners import MAZE
from tests.support.runs import rows, same_run
from tests.support.words import words


def test_goals_in_the_band_are_drawn_and_the_rest_hardly() -> None:
    curriculum = Curriculum(GoalSettings(goal_archive=4, own_goals=0.25), 1)
    assert curriculum.shares().tolist() == [1, 0, 0, 0, 0]  # nothing easier is known
    curriculum.add(np.array([[0.0], [1.0], [2.0], [3.0], [3.1]]))
    assert curriculum.goals[:4].ravel().tolist() == [
        0.0,
        3.1,
        2.0,
        1.0,
    ]  # each is farthest from those before it
    rarity = 1 / np.array([2, 3, 2, 2]) ** 2  # 3.0 and 3.1 were met where the second goal is
    np.testing.assert_allclose(curriculum.shares(), [0.25, *(0.75 * rarity / rarity.sum())])
    curriculum.tell(np.array([[100, 0], [100, 100], [100, 60], [100, 40], [100, 0]], float))
    shares = (
        curriculum.shares()
    )  # two of eight are in the band, so that it has 0.2, and the hard and the easy one 0.4 each
    rarity = 1 / np.array([1 + 0.9 * 2, 1 + 0.9]) ** 2  # of the two in the band
    np.testing.assert_allclose(shares, [0.25, 0.3, *(0.15 * rarity / rarity.sum()), 0.3])
    assert curriculum.metrics() == {"goals_known": 4, "goals_in_band": 2, "success_train": 0.4}
    curriculum.tell(np.array([[0, 0]] + [[1000, 990]] * 4, float))
    assert curriculum.shares().tolist() == [1, 0, 0, 0, 0]  # nothing easier is left to learn
    curriculum.tell(np.array([[1000, 900]] + [[1000, 0]] * 4, float))
    assert curriculum.shares()[0] == pytest.approx(
        900 / 1082
    )  # once the own goals are reached, they are aimed at as often


def test_the_archive_gives_one_of_two_close_goals_for_one_that_is_far_from_all() -> None:
    curriculum = Curriculum(GoalSettings(goal_archive=3), 2)
    curriculum.add(np.array([[0.0, 0.0], [1.0, 0.0], [0.1, 0.0]]))
    curriculum.tell(np.array([[5, 1], [10, 1], [20, 2], [30, 3]], float))
    curriculum.add(np.array([[4.0, 0.0]]))
    assert curriculum.goals.tolist() == [[4, 0], [1, 0], [0.1, 0]]  # less was known of the first
    assert curriculum.tally.tolist() == [[5, 1], [0, 0], [20, 2], [30, 3]]
    assert curriculum.success()[1] == 0.5
    curriculum.add(
        np.array([[1.95, 0.0]])
    )  # 0.95 from all, where the two closest are 0.9 from each other
    assert curriculum.goals.tolist() == [[4, 0], [1, 0], [0.1, 0]]
    again = Curriculum(GoalSettings(goal_archive=3), 2)
    again.restore(curriculum.state())
    assert again.shares().tolist() == curriculum.shares().tolist()
    assert farthest(np.array([[0.0], [0.0], [0.0]]), 3).tolist() == [0]


def test_hindsight_aims_at_what_was_achieved_later() -> None:
    layout = GoalLayout(achieved=0, desired=1, size=1)
    places = np.arange(6.0)
    one = Trajectory(
        np.column_stack([places, np.full(6, 99.0)]),
        np.arange(5.0)[:, None],
        np.zeros(5),
        False,
        True,
    )
    counts = np.zeros((5, 6))
    for stream in range(200):
        found = hindsight_transitions([one], layout, generator(1, stream))
        goals = found.observations[:, 1].astype(int)
        assert (goals > np.arange(5)).all()
        assert found.next_observations[:, 1].astype(int).tolist() == goals.tolist()
        assert found.targets.ravel().tolist() == one.actions.ravel().tolist()
        counts[np.arange(5), goals] += 1
    for t in range(4):  # each later step equally often
        np.testing.assert_allclose(counts[t, t + 1 :], 200 / (5 - t), rtol=0.35)


@pytest.mark.parametrize("method", ["openai-es", "cma-es"])
def test_a_resumed_run_equals_the_run_that_never_stopped(method: str, tmp_path: Path) -> None:
    size = words(
        "--population-size 12 --episodes-per-member 2 --wandering-episodes 3 --max-episode-steps 40"
    )
    often = words(
        "--goal-archive 16 --hindsight 1 --eval-every 2 --eval-episodes 3 --checkpoint-every 1"
    )
    command = ["train", method, *MAZE, *size, *often, "--ranks", "1", "--quiet"]
    assert main([*command, "--generations", "4", "--run-dir", str(tmp_path / "one")]) == 0
    found = rows(tmp_path / "one")
    assert all(0 <= row["success_train"] <= 1 and row["goals_known"] > 1 for row in found)
    assert found[1]["success_eval"] == found[1]["episode_return_eval"]  # the reward of this maze
    assert main([*command, "--generations", "2", "--run-dir", str(tmp_path / "halves")]) == 0
    assert (
        main(["resume", str(tmp_path / "halves"), "--generations", "4", "--ranks", "1", "--quiet"])
        == 0
    )
    same_run(tmp_path / "one", tmp_path / "halves")


class Line(gymnasium.Env[Any, Any]):
    """Somebody's own environment: walk along a line; its goal, an attribute, is farther than an
    episode leads.
    """

    observation_space = gymnasium.spaces.Dict(
        {
            name: gymnasium.spaces.Box(-9, 9, (1,))
            for name in ("observation", "achieved_goal", "desired_goal")
        }
    )
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.place, self.goal = np.zeros(1, np.float32), np.full(1, 4.0, np.float32)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place = self.place + np.float32(0.1) * action
        reward = self.compute_reward(self.place, self.goal, {})
        return self._observation(), reward, reward > 0, False, {"is_success": reward > 0}

    def compute_reward(self, achieved: Any, desired: Any, info: object) -> float:
        return float(np.abs(achieved - desired).max() < 0.1)

    def _observation(self) -> dict[str, Any]:
        return {"observation": self.place, "achieved_goal": self.place, "desired_goal": self.goal}


gymnasium.register("TestLine-v0", cast(Any, Line), max_episode_steps=20)


def test_an_environment_of_ones_own_is_trained_on_goals_that_it_can_reach(tmp_path: Path) -> None:
    size = words("--population-size 12 --wandering-episodes 2 --eval-every 1 --eval-episodes 2")
    command = [
        *words("train openai-es --env-id TestLine-v0 --goals curriculum"),
        *size,
        "--generations",
        "5",
    ]
    assert main([*command, "--ranks", "1", "--quiet", "--run-dir", str(tmp_path / "run")]) == 0
    found = rows(tmp_path / "run")
    assert max(row["success_train"] for row in found) > 0
    assert [row["success_eval"] for row in found] == [0] * 5


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ("openai-es", "--env-id", "CartPole-v1", "--goals", "curriculum"),
            "goals need an environment with gymnasium's goal API",
        ),
        (
            ("truncation-es", *MAZE, "--hindsight", "1"),
            "--hindsight must be used with a method that has a mean to improve, got truncation-es",
        ),
        (
            ("openai-es", *MAZE, "--novelty", "ns"),
            "--novelty belongs to --goals own, got --goals curriculum",
        ),
        (
            ("openai-es", *MAZE, "--least-success", "0.8"),
            "--least-success and --most-success must lie in this order",
        ),
        (
            ("openai-es", *MAZE, "--wandering-share", "2"),
            "--wandering-share must lie between 0 and 1, got 2",
        ),
        (("dagger", *MAZE, "--expert", "a:b"), "--goals has no meaning for dagger"),
    ],
)
def test_settings_that_do_not_go_together_are_one_sentence(
    flags: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *flags, "--ranks", "1", "--run-dir", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
