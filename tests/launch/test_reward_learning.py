"""Learning a reward: any number of ranks, an exact resume, a run that needs no other file, and what cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from esengine.demonstrations import save_demonstrations
from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.config import RunConfig, TrainSettings
from esengine.launch.methods import settings_of
from esengine.launch.start import completed
from esengine.reward_file import load_reward
from esengine.spaces import describe
from esengine.trajectories import Demonstrations, Trajectory
from tests.conftest import Run
from tests.mpi.test_ranks import same_run


def demonstrations(path: Path) -> str:
    """Two episodes of CartPole-v1, one that the task ended and one that was cut, by an expert that leans with the pole."""
    spec = EnvironmentSpec("CartPole-v1")
    env = spec.make()
    trajectories = []
    for seed, most in ((0, 500), (1, 30)):
        observation, _ = env.reset(seed=seed)
        seen, done, ended = [observation], list[list[float]](), False
        while not ended and len(done) < most:
            done.append([float(observation[2] > 0)])
            observation, _, ended, _, _ = env.step(int(done[-1][0]))
            seen.append(observation)
        ones = np.ones(len(done))
        trajectories.append(Trajectory(np.array(seen, float), np.array(done), ones, ended, not ended, seed))
    save_demonstrations(path, Demonstrations(spec, describe(env)[1], tuple(trajectories)))
    return str(path)


@pytest.mark.parametrize("method", ["gail", "airl", "inverse-rl"])
def test_ranks_and_stops_change_no_bit_and_the_run_needs_no_other_file(esengine: Run, tmp_path: Path, method: str) -> None:
    file = Path(demonstrations(tmp_path / "demos.npz"))
    command = ["train", method, "--demonstrations", str(file), "--generator", "openai-es", "--max-episode-steps", "60"]
    command += ["--generator-arg", "population_size=20", "--checkpoint-every", "2", "--eval-every", "2"]
    esengine(*command, "--generations", "4", "--run-dir", "one", "--ranks", "1")
    esengine(*command, "--generations", "2", "--run-dir", "three", "--ranks", "3")
    file.unlink()
    esengine("resume", "three", "--generations", "4", "--ranks", "1")
    same_run(tmp_path / "one", tmp_path / "three")
    rewards = [(tmp_path / run / "reward.safetensors").read_bytes() for run in ("one", "three")]
    assert rewards[0] == rewards[1]
    assert np.abs(load_reward(tmp_path / "one").parameters).sum() > 0
    rows = [json.loads(line) for line in (tmp_path / "one/metrics.jsonl").read_text().splitlines()]
    assert rows[1]["fitness_std"] > 0
    if method == "gail":
        assert rows[0]["fitness_std"] == 0  # nothing is known of the reward at first


@pytest.mark.parametrize(
    ("method", "search", "train", "message"),
    [
        ("gail", {}, {}, "--demonstrations must name at least one file"),
        ("gail", {"generator": "dagger"}, {}, "--generator must be one of truncation-es"),
        ("gail", {"generator_arg": ("size=3",)}, {}, "settings must be among"),
        ("gail", {"dropout": 1.0}, {}, "--dropout must lie in"),
        ("inverse-rl", {"most_promising": 0.0}, {}, "--most-promising must lie in"),
        ("airl", {"discount": 0.0}, {}, "--discount must lie in"),
        ("gail", {}, {"survival_bonus": 1.0}, "--survival-bonus has no meaning for gail"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, method: str, search: dict[str, object], train: dict[str, object], message: str
) -> None:
    given = {} if "at least one" in message else {"demonstrations": (demonstrations(tmp_path / "d.npz"),)}
    config = RunConfig(method, TrainSettings(**train), settings_of(method)(**given, **search))  # type: ignore[arg-type]
    with pytest.raises(UserError, match=message):
        completed(config)
