"""The methods that learn a reward, with every generator, and what their settings do to what is
learned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

import esengine
from esengine.demonstrations import load_demonstrations
from esengine.errors import UserError
from esengine.launch.settings.methods import STRATEGIES
from esengine.rewards import load_reward
from tests.support.learners import demonstrations

GENERATORS = ["ppo", *STRATEGIES]
LEARNERS = ["gail", "airl", "inverse-rl"]


def learn(
    folder: Path, method: str, *, generator: str = "openai-es", **settings: Any
) -> list[dict[str, Any]]:
    """The rows of a short run on CartPole-v1 in ``folder / "run"``."""
    sized = "steps_per_round=100" if generator == "ppo" else "population_size=8"
    file = folder / "demos.npz"
    given = {
        "demonstrations": (str(file) if file.exists() else demonstrations(file),),
        "generator": generator,
        "generator_arg": (sized,),
    }
    short = {"generations": 2, "max_episode_steps": 40, "eval_every": 0, "final_episodes": 1}
    if generator != "ppo":
        short["noise_table_size"] = 0
    esengine.train(method, **given | short | settings, run_dir=folder / "run", quiet=True)
    return [
        json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()
    ]


def forget_actions(file: Path) -> None:
    """Leave the observations of demonstrations alone."""
    with np.load(file) as arrays:
        kept = {name: array for name, array in arrays.items() if name != "actions"}
    np.savez(file, **kept)


def parameters(folder: Path) -> NDArray[np.float32]:
    return load_reward(folder / "run").parameters


def rewards_of_demonstration(folder: Path) -> NDArray[np.float64]:
    """What the steps of the first demonstration are paid."""
    first = load_demonstrations([folder / "demos.npz"]).trajectories[0]
    return load_reward(folder / "run").steps(
        first.observations[:-1].astype(np.float32), first.actions
    )


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize("method", LEARNERS)
def test_every_generator_makes_policies_for_every_method(
    tmp_path: Path, method: str, generator: str
) -> None:
    rows = learn(tmp_path, method, generator=generator)
    assert [row["generation"] for row in rows] == [1, 2]
    assert rows[-1]["env_steps"] > rows[0]["env_steps"] > 0
    learned = parameters(tmp_path)
    assert np.isfinite(learned).all()
    one = tmp_path / "one"
    one.mkdir()
    learn(one, method, generator=generator, generations=1)
    assert (parameters(one) != learned).any()


def test_the_reward_learns_however_little_the_exact_weights_support(tmp_path: Path) -> None:
    learned = {}
    for share in (0.0, 0.9):
        folder = tmp_path / str(share)
        folder.mkdir()
        rows = learn(folder, "inverse-rl", least_effective_share=share, generations=2)
        assert all(0 < row["effective_share"] < 0.9 for row in rows)
        assert all((row["weight_power"] < 1) == (share > 0) for row in rows)
        assert all(row["log_z_low"] <= row["log_z"] <= row["log_z_high"] for row in rows)
        learned[share] = parameters(folder)
    assert (learned[0.0] != learned[0.9]).any()


def test_the_most_promising_trajectories_alone_have_a_bias_that_is_told(tmp_path: Path) -> None:
    biases = {}
    for share in (0.25, 0.75, 1.0):
        folder = tmp_path / str(share)
        folder.mkdir()
        rows = learn(folder, "inverse-rl", least_effective_share=0.0, most_promising=share)
        biases[share] = rows[0].get("log_z_bias", 0.0)
    assert biases[1.0] == 0
    assert biases[0.25] < biases[0.75] < 0, (
        "what is left out makes Z too small, and less so the less is left out"
    )


def test_regularisers_smooth_rewards_and_keep_them_from_falling(tmp_path: Path) -> None:
    rough, falls = {}, {}
    changes: dict[str, Any] = {
        "reward_penalty": 0.0,
        "reward_learning_rate": 0.1,
        "generations": 4,
    }
    for name in ("none", "smoothness", "monotonicity"):
        folder = tmp_path / name
        folder.mkdir()
        learn(folder, "inverse-rl", **changes | ({} if name == "none" else {name: 1000.0}))
        rewards = rewards_of_demonstration(folder)
        rough[name] = float(np.abs(np.diff(rewards, 2)).mean())
        falls[name] = float(np.maximum(-np.diff(rewards) - 1, 0).sum())
    assert rough["smoothness"] < 0.5 * rough["none"]
    assert falls["monotonicity"] < 0.5 * falls["none"]


@pytest.mark.parametrize("generator", ["openai-es", "ppo"])
def test_states_alone_teach_the_same_with_and_without_actions(
    tmp_path: Path, generator: str
) -> None:
    learned = []
    for folder in (tmp_path / "with", tmp_path / "without"):
        folder.mkdir()
        file = Path(demonstrations(folder / "demos.npz"))
        if folder.name == "without":
            forget_actions(file)
        learn(folder, "gail", generator=generator, state_only=True)
        learned.append(parameters(folder))
    np.testing.assert_array_equal(learned[0], learned[1])
    assert load_reward(tmp_path / "with" / "run").spec.sees == "transitions"


def test_methods_that_need_actions_refuse_demonstrations_without(tmp_path: Path) -> None:
    forget_actions(Path(demonstrations(tmp_path / "demos.npz")))
    for method in ("gail", "airl", "inverse-rl", "behavior-cloning"):
        with pytest.raises(UserError, match="must hold actions, got observations alone"):
            esengine.train(
                method, demonstrations=(str(tmp_path / "demos.npz"),), run_dir=tmp_path / "run"
            )


def test_the_replay_keeps_the_steps_of_as_many_generations_as_asked(tmp_path: Path) -> None:
    learn(tmp_path, "gail", generations=4, replay_generations=2)
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    state = load_file(newest / "state.safetensors")
    lengths = next(array for name, array in state.items() if name.endswith("replay/lengths"))
    assert lengths.size == 2
    assert lengths.sum() == len(
        next(array for name, array in state.items() if name.endswith("replay/observations"))
    )


@pytest.mark.parametrize(
    "settings", [{"dropout": 0.5}, {"input_dropout": 0.5}, {"reward_weight_decay": 1.0}]
)
def test_regularisers_of_the_network_change_what_is_learned(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    learned = []
    for name, changes in (("plain", dict[str, Any]()), ("changed", settings), ("again", settings)):
        folder = tmp_path / name
        folder.mkdir()
        learn(folder, "gail", **changes)
        learned.append(parameters(folder))
    assert (learned[0] != learned[1]).any()
    np.testing.assert_array_equal(learned[1], learned[2])
