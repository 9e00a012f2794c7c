"""Command lines and files of learners that tests start."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from esengine.demonstrations import Demonstrations, Trajectory, save_demonstrations
from esengine.environments import EnvironmentSpec, describe
from esengine.rewards import LearnedReward, save_reward
from esengine.rewards.network import RewardSpec
from tests.support.words import words

MAZE = ("--env-id", "esengine/PointMaze-v0", "--goals", "curriculum")


SMALL = words(
    "--steps-per-round 150 --epochs 2 --hidden-sizes 8 --final-episodes 2 --eval-episodes 2"
)


def demonstrations(path: Path) -> str:
    """Two episodes of CartPole-v1, one that the task ended and one that was cut, by an expert that
    leans with the pole.
    """
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
        trajectories.append(
            Trajectory(np.array(seen, float), np.array(done), ones, ended, not ended, seed)
        )
    save_demonstrations(path, Demonstrations(spec, describe(env)[1], tuple(trajectories)))
    return str(path)


def reward_file(folder: Path, env_id: str = "CartPole-v1") -> Path:
    """A reward with a random network."""
    observations, action = describe(EnvironmentSpec(env_id).make())
    random, spec = np.random.default_rng(0), RewardSpec(observations.dim, action, (8,))
    ones = np.ones(spec.num_inputs, np.float32)
    parameters = random.standard_normal(spec.num_parameters).astype(np.float32)
    save_reward(folder / "reward.safetensors", LearnedReward(spec, parameters, 0 * ones, ones))
    return folder / "reward.safetensors"
