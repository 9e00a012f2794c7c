"""Policies that nobody trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from esengine.environments import EnvironmentSpec, describe
from esengine.policies import Policy, PolicySpec, save_policy


def untrained_policy(path: Path, env_id: str, **arguments: object) -> Path:
    """A policy file with small random weights."""
    environment = EnvironmentSpec(env_id, arguments)
    env = environment.make()
    observations, action = describe(env)
    env.close()

    spec = PolicySpec(observations.dim, action, (4,))
    parameters = np.random.default_rng(0).normal(0, 0.3, spec.num_parameters).astype(np.float32)
    scale = np.ones(observations.dim, np.float32)
    save_policy(path, Policy(spec, parameters, scale * 0, scale, environment))
    return path
