"""Skills that a planner chains: what a policy cannot reach by itself is reached by the way that the
search finds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from esengine.algorithms.planners import SkillPlanner
from esengine.demonstrations import load_demonstrations
from esengine.environments import EnvironmentSpec, describe
from esengine.goals import GoalLayout
from esengine.launch.cli import main
from esengine.policies import Policy, PolicySpec, save_policy
from esengine.repertoires import Repertoire, save_archive
from esengine.simulators import ObservableDynamics, make_dynamics
from esengine.simulators.stepped import run_episode
from tests.support.words import words

MAZE = "esengine/PointMaze-v0"


def straight() -> Policy:
    """A skill: go straight to the goal, and know nothing of walls."""
    spec = EnvironmentSpec(MAZE, {"maze": "open"})
    observations, action = describe(spec.make())
    weights = np.zeros((observations.dim, 2))
    for k in range(2):  # of achieved goal, desired goal, place and speed
        weights[k, k], weights[2 + k, k], weights[6 + k, k] = -2.0, 2.0, -0.5
    row = np.concatenate([weights.ravel(), np.zeros(2)]).astype(np.float32)
    still, ones = np.zeros(observations.dim, np.float32), np.ones(observations.dim, np.float32)
    return Policy(PolicySpec(observations.dim, action), row, still, ones, spec)


def test_a_chain_reaches_what_the_skill_alone_does_not(tmp_path: Path) -> None:
    policy, spec = straight(), EnvironmentSpec(MAZE, {"maze": "u"})
    env = spec.make()
    observations, _ = describe(env)
    assert run_episode(env, observations, policy.actor(), 0).episode_return == 0
    save_policy(tmp_path / "policy.safetensors", policy)
    flags = (
        "--skills",
        str(tmp_path / "policy.safetensors"),
        "--env-id",
        MAZE,
        *words("--env-arg maze=u --episodes 2"),
    )
    for name in ("a", "b"):
        assert (
            main(
                [
                    "collect",
                    *flags,
                    *words("--ranks 1 --quiet --out"),
                    str(tmp_path / f"{name}.npz"),
                ]
            )
            == 0
        )
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    demonstrations = load_demonstrations([tmp_path / "a.npz"])
    assert demonstrations.returns.tolist() == [1, 1]
    assert all(one.terminated for one in demonstrations.trajectories)


def pushes() -> Repertoire:
    """An archive of 64 skills that push with a constant force, in a grid by the force."""
    spec = EnvironmentSpec(MAZE, {"maze": "open"})
    observations, action = describe(spec.make())
    still, ones = np.zeros(observations.dim, np.float32), np.ones(observations.dim, np.float32)
    forces = (
        np.stack(np.meshgrid(*2 * [np.arange(8)], indexing="ij"), -1).reshape(-1, 2) - 3.5
    ) / 4
    rows = np.zeros((64, 2 * observations.dim + 2), np.float32)
    rows[:, -2:] = forces
    policy = Policy(PolicySpec(observations.dim, action), rows[0], still, ones, spec)
    known = (np.arange(64), np.zeros(64), forces, np.ones(64, np.int64), rows)
    ranges = ((-1.0, 1.0), (-1.0, 1.0))
    return Repertoire("grid", ("x", "y"), ranges, (8, 8), -1.0, *known, policy=policy)


def test_a_plan_over_an_archive_solves_a_maze_that_no_elite_solves(tmp_path: Path) -> None:
    archive, spec = pushes(), EnvironmentSpec(MAZE, {"maze": "u"})
    env = spec.make()
    observations, _ = describe(env)
    for policy in archive.policies()[::9]:
        assert run_episode(env, observations, policy.actor(), 0).episode_return == 0
    save_archive(tmp_path / "pushes.safetensors", archive)
    flags = ("--skills", str(tmp_path / "pushes.safetensors"), "--env-id", MAZE)
    plan = words("--env-arg maze=u --episodes 5 --planner-arg goals=1 elites=8 --ranks 1 --quiet")
    assert main(["collect", *flags, *plan, "--out", str(tmp_path / "a.npz")]) == 0
    assert load_demonstrations([tmp_path / "a.npz"]).returns.tolist() == [1] * 5


def test_the_way_does_in_the_simulator_what_the_search_says() -> None:
    spec = EnvironmentSpec(MAZE, {"maze": "u"})
    env, dynamics = spec.make(), make_dynamics(spec)
    assert isinstance(dynamics, ObservableDynamics)
    observation, _ = env.reset(seed=4)
    state = dynamics.state_of(env)
    flat = describe(env)[0].flat(env.observation_space, observation)
    assert dynamics.observe(state[None])[0].tolist() == flat.tolist()
    way = SkillPlanner(depth=30).plan(dynamics, [straight().actor()], GoalLayout.of(env), state, 1)
    gained, ended = 0.0, False
    for control in way.controls:
        assert not ended
        _, reward, ended, _, _ = env.step(dynamics.action_of(control))
        gained += float(reward)
    assert (gained, ended) == (way.gained, way.ended) == (1.0, True)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--env-id", "Pendulum-v1"), "--skills must fit Pendulum-v1"),
        (("--env-id", "CartPole-v1"), "--skills need box actions and a simulator"),
        (
            ("--env-id", MAZE, "--planner-arg", "width=0"),
            "--planner-arg width must be at least 1, got 0",
        ),
        (("--env-id", MAZE, "--planner", "mppi"), "got --planner and --skills"),
    ],
)
def test_bad_settings_are_one_sentence(
    flags: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_policy(tmp_path / "policy.safetensors", straight())
    out = ("--ranks", "1", "--out", str(tmp_path / "demos.npz"))
    assert main(["collect", "--skills", str(tmp_path / "policy.safetensors"), *flags, *out]) == 2
    assert message in capsys.readouterr().err
