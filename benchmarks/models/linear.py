"""A linear-Gaussian system: what fitted models recover of it, and what their controllers cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from esengine.algorithms.planners import ControllerExpert, FittedControllers, FittedILQR
from esengine.algorithms.planners.local_models import Samples, fit_local_model
from esengine.environments import EnvironmentSpec
from tests.support.linear_quadratic import HORIZON, LinearQuadratic, LinearQuadraticEnv

SPEC = EnvironmentSpec("tests.support.linear_quadratic:LinearQuadratic-v0")
NOISE = 0.05
NUM_ROLLOUTS = 20


def measure_linear(folder: Path, seeds: list[int]) -> list[dict[str, Any]]:
    """For each seed, the mean squared error of A and B relative to what their samples allow, and
    the cost of the controller of 20 rollouts relative to Riccati's.
    """
    return [
        {"seed": seed, "squared_error": recovery(seed), "cost_ratio": cost_ratio(seed)}
        for seed in seeds
    ]


def recovery(seed: int) -> float:
    """The mean squared error of A and B, in variances of least squares; 1 is expected."""
    random = np.random.default_rng(seed)
    env, system = LinearQuadraticEnv(NOISE), LinearQuadratic()
    rows = []
    for number in range(NUM_ROLLOUTS):
        state, _ = env.reset(seed=NUM_ROLLOUTS * seed + number)
        for t in range(HORIZON):
            control = random.uniform(-1, 1, 2)
            after, reward, *_ = env.step(control)
            rows.append((t, [*state, *control], after, reward))
            state = after
    times, points, nexts, rewards = (np.array(column) for column in zip(*rows, strict=True))
    samples = Samples(times, points, nexts, rewards)
    model = fit_local_model(samples, None, system.low, system.high, window=1e6, prior=0.1)

    centered = points - points.mean(axis=0)
    variances = NOISE**2 * np.diag(np.linalg.inv(centered.T @ centered))
    errors = model.jacobians[0] - np.hstack([system.A, system.B])
    return round(float(np.mean(errors**2 / variances)), 3)


def cost_ratio(seed: int) -> float:
    """The cost of an episode of the controller, in costs of Riccati's."""
    settings = FittedILQR(num_rollouts=4, num_iterations=NUM_ROLLOUTS // 4 - 1, kl_step=50.0)
    expert = ControllerExpert(FittedControllers(settings, SPEC, None))
    env = SPEC.make()
    observation, _ = env.reset(seed=seed)
    expert.begin(env, seed)
    total = 0.0
    for _ in range(HORIZON):
        observation, reward, *_ = env.step(expert.act(observation))
        total -= float(reward)
    start = LinearQuadraticEnv.START
    return round(total / float(start @ LinearQuadratic().riccati()[1] @ start), 4)
