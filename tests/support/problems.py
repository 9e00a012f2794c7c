"""Problems, and populations that they evaluate."""

from __future__ import annotations

from typing import Any

import numpy as np

from esengine.candidates import AntitheticPairs, Candidates
from esengine.environments import EnvironmentSpec, describe
from esengine.noise import create_table
from esengine.policies import PolicySpec
from esengine.problems import (
    EnvironmentProblem,
)

NOISE = create_table(0, 18, 1024, None)


def run(problem: EnvironmentProblem, candidates: Candidates) -> tuple[np.ndarray, dict[str, Any]]:
    """Records and arrays of a whole population in one chunk."""
    problem.set_context(problem.context())
    size = candidates.population_size
    return problem.evaluate(candidates, 0, candidates.rows(NOISE, 0, size))


def pairs(problem: EnvironmentProblem, generation: int = 1, size: int = 40) -> AntitheticPairs:
    return AntitheticPairs(0, generation, size, 0.5, np.zeros(problem.dimension, np.float32))


WORLDS = "tests.support.worlds"


def problem_for(env_id: str, **settings: Any) -> EnvironmentProblem:
    spec = EnvironmentSpec(env_id)
    env = spec.make()
    observations, action = describe(env)
    env.close()
    return EnvironmentProblem(
        spec, observations, PolicySpec(observations.dim, action, (5,)), 0, **settings
    )
