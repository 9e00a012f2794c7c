"""The tasks that have a compiled form, and policies that act in them."""

from __future__ import annotations

from typing import Any

import numpy as np

from esengine.environments.spaces import describe
from esengine.environments.spec import EnvironmentSpec
from esengine.policies.network import Actor, PolicySpec

CLASSIC = ["CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"]
OWN = ["esengine/CartPoleSwingUp-v0", "esengine/FixedHorizonCartPole-v0"]
MUJOCO = [
    "HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Swimmer-v5", "Ant-v5", "Humanoid-v5", "InvertedPendulum-v5",
    "InvertedDoublePendulum-v5", "Reacher-v5", "Pusher-v5",
]  # fmt: skip


def actor_for(
    env_id: str,
    hidden: tuple[int, ...] = (8,),
    sampled: bool = False,
    seed: int = 0,
    **network: Any,
) -> Actor:
    observations, action = describe(EnvironmentSpec(env_id).make())
    spec = PolicySpec(observations.dim, action, hidden, sampled, **network)
    parameters = (
        np.random.default_rng(seed).standard_normal(spec.num_parameters).astype(np.float32) * 0.3
    )
    mean = np.zeros(observations.dim, np.float32)
    return Actor(spec, parameters, mean, np.ones_like(mean))
