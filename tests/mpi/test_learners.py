"""What learns from demonstrations, planners, goals, rewards: ranks and stops change no bit, and a
run needs no other file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from esengine.algorithms.planners import MPPI, PlannerExpert
from esengine.demonstrations import load_demonstrations
from esengine.rewards import load_reward
from esengine.simulators import make_dynamics
from tests.conftest import SUPPORT, Run
from tests.support.imitation import METHODS as IMITATION
from tests.support.launches import run_all
from tests.support.learners import MAZE, SMALL, demonstrations, reward_file
from tests.support.runs import folder_of, rows, same_run
from tests.support.words import words

Rows = list[dict[str, Any]]

EVERY_SECOND = ("--checkpoint-every", "2", "--eval-every", "2")
_SHAPED = ("--max-episode-steps", "60", "--generator-arg", "population_size=20", *EVERY_SECOND)
_LEARNED = ("--demonstrations", "demos.npz", "--generator", "openai-es", *_SHAPED)
_GRADIENT = words(
    "--generator ppo --generator-arg steps_per_round=150 epochs=2 --max-episode-steps 60"
)
_PLANNED = words(
    "--env-id Pendulum-v1 --planner mppi --planner-arg num_candidates=16 --gradient-steps 1"
)
_ROUNDS = (*_PLANNED, *words("--episodes-per-round 3 --max-episode-steps 15 --epochs-per-round 2"))
_FITTED = words(
    "--env-id Reacher-v5 --planner ilqr --dynamics fitted --planner-arg num_rollouts=3 "
    "num_iterations=2 --gradient-steps 1 --episodes-per-round 2 --max-episode-steps 8"
)
_MODELS = words(
    "--planner-arg num_candidates=16 num_iterations=2 --gradient-steps 1 --model-steps 20 "
    "--episodes-per-round 2 --max-episode-steps 15"
)
_MAZES = words(
    "--population-size 12 --episodes-per-member 2 --wandering-episodes 3 --max-episode-steps 40"
)
_SWINGS = ("--env-id", "Pendulum-v1", "--max-episode-steps", "40", *SMALL)
_REWARDED = ("--env-id", "CartPole-v1", "--reward", "reward.safetensors")


def nothing_more(found: Rows) -> None:
    """All is told by the comparison."""


def labels_grow_and_rules_act(found: Rows) -> None:
    assert [row["labels"] for row in found] == [80, 160, 240]
    assert all(0 < row["rule_rate"] < 1 for row in found)


def nothing_is_known_of_the_reward_at_first(found: Rows) -> None:
    assert [row["fitness_std"] > 0 for row in found[:2]] == [False, True]


def paid_at_once(found: Rows) -> None:
    """By the entropy of the policy, before anything is known of the reward."""
    assert [row["policy_loss"] != 0 for row in found] == [True] * 4


def steps_are_counted(found: Rows) -> None:
    assert [row["env_steps"] for row in found] == [160, 320, 480, 640]


def rollouts_are_counted(found: Rows) -> None:
    assert [row["env_steps"] for row in found] == [2 * 10 * 8, 4 * 10 * 8, 6 * 10 * 8]


class Learner(NamedTuple):
    """A command line, after how many generations it stops, how many it has, and what its rows must
    tell.
    """

    command: tuple[str, ...]
    half: int
    whole: int
    check: Callable[[Rows], None] = nothing_more


LEARNERS = {
    "dagger": Learner(IMITATION["dagger"], 2, 3, labels_grow_and_rules_act),
    "guided-policy-search": Learner(("train", "guided-policy-search", *_ROUNDS), 2, 3),
    "guided-policy-search by rollouts": Learner(
        ("train", "guided-policy-search", *_FITTED), 2, 3, rollouts_are_counted
    ),
    "pets": Learner(("train", "pets", "--demonstrations", "demos.npz", *_MODELS), 2, 3),
    "plato": Learner(("train", "plato", *_ROUNDS), 2, 3),
    "gail": Learner(("train", "gail", *_LEARNED), 2, 4, nothing_is_known_of_the_reward_at_first),
    "inverse-rl": Learner(("train", "inverse-rl", *_LEARNED), 2, 4),
    "airl by ppo": Learner(
        ("train", "airl", "--demonstrations", "demos.npz", *_GRADIENT, *EVERY_SECOND),
        2,
        4,
        paid_at_once,
    ),
    "inverse-rl by ppo": Learner(
        ("train", "inverse-rl", "--demonstrations", "demos.npz", *_GRADIENT, *EVERY_SECOND), 2, 4
    ),
    "ppo": Learner(("train", "ppo", *_SWINGS, "--eval-every", "2"), 2, 4, steps_are_counted),
    "a reward": Learner(
        ("train", "openai-es", "--population-size", "20", *_REWARDED, *EVERY_SECOND), 2, 4
    ),
    "goals": Learner(
        (
            "train",
            "openai-es",
            *MAZE,
            *_MAZES,
            *words("--hindsight 1 --eval-episodes 3"),
            *EVERY_SECOND,
        ),
        2,
        4,
    ),
}
COLLECTORS = {
    "expert": words(
        "--expert teachers:Counting --env-id Pendulum-v1 --episodes 5 --max-episode-steps 30"
    ),
    "planner": (
        *words("--planner mppi --planner-arg horizon=12 num_candidates=16 --env-id HalfCheetah-v5"),
        *("--episodes", "4", "--max-episode-steps", "5"),
    ),
}


def collect(what: str) -> tuple[str, ...]:
    return ("collect", *COLLECTORS[what], "--noise", "0.1", "--out", f"{what}.npz")


def make_files(folder: Path) -> list[Path]:
    """What the command lines are given."""
    return [Path(demonstrations(folder / "demos.npz")), reward_file(folder)]


@pytest.fixture(scope="module")
def on_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all have run on three workers, the learners up to their half, and where the files that
    they were given are gone.
    """
    folder = tmp_path_factory.mktemp("three")
    given = make_files(folder)
    halves = [
        (*learner.command, "--generations", str(learner.half), "--run-dir", folder_of(name))
        for name, learner in LEARNERS.items()
    ]
    run_all([*halves, *map(collect, COLLECTORS)], 3, folder)
    for path in given:
        path.unlink()
    return folder


@pytest.mark.parametrize("name", LEARNERS)
def test_ranks_and_stops_change_no_bit_and_the_run_needs_no_other_file(
    on_three: Path, esengine_here: Run, tmp_path: Path, name: str
) -> None:
    learner, half = LEARNERS[name], on_three / folder_of(name)
    given = make_files(tmp_path)
    whole = ("--generations", str(learner.whole), "--ranks", "1")
    result = esengine_here(*learner.command, *whole, "--run-dir", "one")
    assert result.returncode == 0, result.stdout + result.stderr
    for path in given:
        path.unlink()
    assert len(rows(half)) == learner.half
    result = esengine_here("resume", half, *whole, "--trust-modules")
    assert result.returncode == 0, result.stdout + result.stderr
    same_run(tmp_path / "one", half)
    learner.check(rows(half))
    if name == "pets":
        models = [(run / "model.safetensors").read_bytes() for run in (tmp_path / "one", half)]
        assert models[0] == models[1]
    if "--generator" in learner.command:
        rewards = [(run / "reward.safetensors").read_bytes() for run in (tmp_path / "one", half)]
        assert rewards[0] == rewards[1]
        assert np.abs(load_reward(half).parameters).sum() > 0


def test_any_number_of_ranks_collects_the_same_bytes(
    on_three: Path, esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    result = esengine_here(*collect("expert"), "--ranks", "1")
    assert result.returncode == 0, result.stderr
    assert "5 episodes of 150 steps" in result.stdout
    assert (tmp_path / "expert.npz").read_bytes() == (on_three / "expert.npz").read_bytes()
    (one, *_) = load_demonstrations([tmp_path / "expert.npz"]).trajectories
    assert one.truncated
    assert not one.terminated


def test_any_number_of_ranks_plans_the_same_bytes(
    on_three: Path, esengine: Run, esengine_here: Run, tmp_path: Path
) -> None:
    """By episodes on one and three workers and, with more workers than episodes, by candidates."""
    assert esengine(*collect("planner"), "--ranks", "5").returncode == 0
    images = {(folder / "planner.npz").read_bytes() for folder in (tmp_path, on_three)}
    (tmp_path / "planner.npz").unlink()
    assert esengine_here(*collect("planner"), "--ranks", "1").returncode == 0
    assert images == {(tmp_path / "planner.npz").read_bytes()}
    demonstrations = load_demonstrations([tmp_path / "planner.npz"])
    expert = PlannerExpert(
        MPPI(horizon=12, num_candidates=16), make_dynamics(demonstrations.environment)
    )
    trajectory, env = demonstrations.trajectories[2], demonstrations.environment.make()
    observation, _ = env.reset(seed=trajectory.seed)
    expert.begin(env, trajectory.seed or 0)
    for action, label in zip(trajectory.actions, trajectory.targets, strict=True):
        assert expert.act(observation).tolist() == label.tolist()
        observation = env.step(action.astype("float32"))[0]
