"""One case of the `imitation` package, in its own environment: ``python peer.py JSON``; prints one
JSON object.

Its defaults: two tanh layers of 32, Adam with 1e-3, batches of 32, four epochs after each DAgger
round of at least three episodes and 500 steps, the expert's share falling linearly over 15 rounds.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.imitation.starts import returns_of
from examples.pendulum import swing_up


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Train as the case says, and give its returns, seconds and labels."""
    import gymnasium
    import torch
    from imitation.algorithms import bc
    from imitation.algorithms.dagger import SimpleDAggerTrainer
    from imitation.data.types import Trajectory
    from imitation.policies.base import NonTrainablePolicy
    from stable_baselines3.common.vec_env import DummyVecEnv

    torch.set_num_threads(1)

    class Expert(NonTrainablePolicy):  # type: ignore[misc]
        def _choose_action(self, obs: Any) -> Any:
            return swing_up(obs)

    from imitation.data.wrappers import RolloutInfoWrapper

    env = DummyVecEnv([lambda: RolloutInfoWrapper(gymnasium.make("Pendulum-v1"))])
    random = np.random.default_rng(case["seed"])
    trajectories = list(read(case["demonstrations"], Trajectory))
    labels = sum(len(one.acts) for one in trajectories)
    began, began_cpu = time.perf_counter(), time.process_time()
    trainer = bc.BC(
        observation_space=env.observation_space,
        action_space=env.action_space,
        demonstrations=trajectories,
        rng=random,
        batch_size=32,
        device="cpu",
    )
    if case["method"] == "cloning":
        trainer.train(n_batches=case["gradient_steps"], progress_bar=False, log_interval=10**9)
        policy = trainer.policy
    else:
        with tempfile.TemporaryDirectory() as folder:
            expert = Expert(env.observation_space, env.action_space)
            dagger = SimpleDAggerTrainer(
                venv=env,
                scratch_dir=folder,
                expert_policy=expert,
                expert_trajs=trajectories,
                bc_trainer=trainer,
                rng=random,
            )
            limit = case["cpu_seconds"] or math.inf
            while labels < case["labels"] and time.process_time() - began_cpu < limit:
                dagger.train(500, rollout_round_min_episodes=3, rollout_round_min_timesteps=500,
                             bc_train_kwargs={"n_epochs": 4, "progress_bar": False, "log_interval": 10**9})  # fmt: skip
                labels += 200 * 3
            policy = trainer.policy
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    returns = returns_of(
        lambda observation: policy.predict(observation, deterministic=True)[0],
        starts=case["starts"],
    )
    return {
        "returns": returns,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "labels": labels,
        "env_steps": labels,
    }


def read(path: str, kind: Any) -> Any:
    """The trajectories of an npz of esengine as the package's own."""
    with np.load(path, allow_pickle=False) as file:
        stops = np.cumsum(file["lengths"])
        for index, (stop, length) in enumerate(zip(stops, file["lengths"], strict=True)):
            observations = file["observations"][stop - length + index : stop + index + 1].astype(
                np.float32
            )
            actions = file["actions"][stop - length : stop].astype(np.float32)
            yield kind(obs=observations, acts=actions, infos=None, terminal=True)


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
