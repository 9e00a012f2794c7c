"""One case of the `imitation` package, in its own environment: ``python peer.py JSON``; prints one
JSON object.

Networks, PPO and schedules of the package's own tutorials of GAIL and AIRL on the cart-pole with a
fixed horizon.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import time
from typing import Any

import numpy as np

_PPO = {
    "gail": {"learning_rate": 4e-4},
    "airl": {"learning_rate": 5e-4, "clip_range": 0.1, "vf_coef": 0.1},
}
_TRAINER = {
    "gail": {"demo_batch_size": 1024, "n_disc_updates_per_round": 8},
    "airl": {"demo_batch_size": 2048, "n_disc_updates_per_round": 16},
}


class OutOfTime(Exception):
    """The CPU seconds are spent."""


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Train as the case says, and give the mean return over 100 fresh episodes."""
    import gymnasium
    import seals  # noqa: F401, registers the fixed horizon
    import torch
    from imitation.algorithms.adversarial.airl import AIRL
    from imitation.algorithms.adversarial.gail import GAIL
    from imitation.data.types import Transitions
    from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet
    from imitation.util.networks import RunningNorm
    from imitation.util.util import make_vec_env
    from stable_baselines3 import PPO

    torch.set_num_threads(1)
    method, limit = case["method"], case["cpu_seconds"] or math.inf
    random = np.random.default_rng(case["seed"])
    venv = make_vec_env(case["env_id"], rng=random, n_envs=8)
    with np.load(case["steps"]) as file:
        parts = {name: file[name] for name in ("obs", "next_obs", "dones")}
        discrete = isinstance(venv.action_space, gymnasium.spaces.Discrete)
        acts = file["acts"][:, 0].astype(int) if discrete else file["acts"].astype(np.float32)
    count = len(acts)
    kind, net = {"gail": (GAIL, BasicRewardNet), "airl": (AIRL, BasicShapedRewardNet)}[method]
    learner = PPO(
        "MlpPolicy",
        venv,
        batch_size=64,
        ent_coef=0.0,
        gamma=0.95,
        n_epochs=5,
        seed=case["seed"],
        device="cpu",
        **_PPO[method],
    )
    trainer = kind(
        demonstrations=Transitions(acts=acts, infos=np.array([{}] * count), **parts),
        venv=venv,
        gen_algo=learner,
        reward_net=net(
            venv.observation_space, venv.action_space, normalize_input_layer=RunningNorm
        ),
        gen_replay_buffer_capacity=512,
        allow_variable_horizon=True,  # Hopper-v4's end with its falls
        **_TRAINER[method] | {"demo_batch_size": min(count, _TRAINER[method]["demo_batch_size"])},
    )
    began = time.process_time()

    def watch(_: int) -> None:
        if time.process_time() - began > limit:
            raise OutOfTime

    with contextlib.suppress(OutOfTime):
        trainer.train(case["env_steps"], watch)
    cpu_s = time.process_time() - began
    returns, env = [], gymnasium.make(case["env_id"])
    for seed in range(100):
        observation, _ = env.reset(seed=seed)
        total, ended = 0.0, False
        while not ended:
            observation, reward, terminated, truncated, _ = env.step(
                learner.predict(observation, deterministic=True)[0]
            )
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    return {
        "mean_return": float(np.mean(returns)),
        "cpu_s": cpu_s,
        "env_steps": int(learner.num_timesteps),
    }


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
