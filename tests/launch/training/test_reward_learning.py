"""Learning a reward: any number of ranks, an exact resume, a run that needs no other file, and what
cannot be.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from esengine.environments.spaces import describe
from esengine.environments.spec import EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import defaults_of, settings_of
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.problem_from_settings import build_problem
from esengine.launch.training.run import completed, prepare, run
from esengine.problems import EnvironmentProblem
from esengine.ranks.world import World
from esengine.rewards.episodes import RewardedEpisodes
from esengine.rewards.file import save_reward
from esengine.rewards.network import LearnedReward, RewardSpec
from esengine.simulators.traces import Trace
from tests.support.learners import demonstrations


def test_a_run_goes_on_where_it_was_interrupted_with_the_policies_of_its_replay(
    tmp_path: Path,
) -> None:
    def go(folder: str, generations: int) -> RunDirectory:
        given = {
            "demonstrations": (demonstrations(tmp_path / f"{folder}.npz"),),
            "generator": "ars",
        }
        search = settings_of("airl")(
            **given, generator_arg=("population_size=8",), sampled_members=4
        )  # type: ignore[call-arg]
        shared = settings_from(
            TrainSettings,
            defaults_of("airl") | {"generations": generations, "eval_every": 0, "quiet": True},
        )
        config = completed(RunConfig("airl", shared, search)).with_train(
            max_episode_steps=40, noise_table_size=0
        )
        path = tmp_path / folder
        directory = RunDirectory.open(path) if path.exists() else prepare(config, path, False)
        run(World(), directory.config().with_train(generations=generations), directory)
        return directory

    whole = go("whole", 4)
    go("halves", 2)
    halves = go("halves", 4)
    assert whole.reward.read_bytes() == halves.reward.read_bytes()
    assert whole.policy.read_bytes() == halves.policy.read_bytes()


def test_rewards_are_added_to_the_environments_own_and_to_a_potentials(tmp_path: Path) -> None:
    action = describe(EnvironmentSpec("CartPole-v1").make())[1]
    random = np.random.default_rng(0)
    files = []
    for name, spec in (
        ("r", RewardSpec(4, action, (4,))),
        ("h", RewardSpec(4, action, (4,), sees="states")),
    ):
        blank = LearnedReward.blank(spec)
        files.append(
            replace(
                blank, parameters=random.standard_normal(spec.num_parameters).astype(np.float32)
            )
        )
        save_reward(tmp_path / name, files[-1])
    train = TrainSettings(
        env_id="CartPole-v1",
        reward=tmp_path / "r",
        environment_weight=0.5,
        potential=tmp_path / "h",
    )
    problem = build_problem(RunConfig("ars", train, settings_of("ars")()))
    assert isinstance(problem, EnvironmentProblem)
    source = problem.part(RewardedEpisodes).source
    seen, done = random.standard_normal((4, 4)).astype(np.float32), np.array([[0.0], [1.0], [1.0]])
    for terminated in (True, False):
        trace = Trace(seen, done, np.ones(3), 3.0, terminated)
        values = files[1].steps(seen, done)
        end = 0.0 if terminated else values[-1]
        expected = files[0].steps(seen[:-1], done).sum() + 1.5 + end - values[0]
        assert source.steps(trace, problem.actor).sum() == pytest.approx(expected)
    with pytest.raises(UserError, match="must be a reward of the state alone"):
        build_problem(
            RunConfig("ars", replace(train, potential=tmp_path / "r"), settings_of("ars")())
        )


@pytest.mark.parametrize(
    ("method", "search", "train", "message"),
    [
        ("gail", {}, {}, "--demonstrations must name at least one file"),
        ("gail", {"generator": "dagger"}, {}, "--generator must be one of truncation-es"),
        ("gail", {"generator_arg": ("size=3",)}, {}, "settings must be among"),
        ("gail", {"dropout": 1.0}, {}, "--dropout must lie in"),
        ("inverse-rl", {"most_promising": 0.0}, {}, "--most-promising must lie in"),
        (
            "gail",
            {"generator": "ppo", "generator_arg": ("epochs=0",)},
            {},
            "--epochs must be at least 1",
        ),
        (
            "airl",
            {"generator": "ppo"},
            {"episodes_per_member": 3},
            "no meaning for airl with --generator ppo, got 3; drop it",
        ),
        ("gail", {}, {"potential": Path("h")}, "--potential has no meaning for gail"),
        ("airl", {"discount": 0.0}, {}, "--discount must lie in"),
        ("gail", {}, {"survival_bonus": 1.0}, "--survival-bonus has no meaning for gail"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, method: str, search: dict[str, object], train: dict[str, object], message: str
) -> None:
    given = (
        {}
        if "at least one" in message
        else {"demonstrations": (demonstrations(tmp_path / "d.npz"),)}
    )
    config = RunConfig(method, TrainSettings(**train), settings_of(method)(**given, **search))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        completed(config)
