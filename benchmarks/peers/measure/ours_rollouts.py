"""Steps a CPU second of a population's episodes in this engine, in one process.

``evaluation`` evaluates given policies; ``search`` runs a whole evolution strategy.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from benchmarks.peers.measure.figure import emit, rate
from benchmarks.peers.policies import HIDDEN, flat, policies
from esengine import EnvironmentProblem, run_search
from esengine.algorithms import TruncationESSettings
from esengine.candidates import MutatedParents
from esengine.environments import EnvironmentSpec, describe
from esengine.policies import PolicySpec
from esengine.pool import Pool

PACKAGES = ("esengine-mpi", "numpy", "numba", "gymnasium", "mujoco")


def problem(env_id: str, normalize_observations: bool) -> EnvironmentProblem:
    """The environment with the policy of `benchmarks.peers.policies`."""
    spec = EnvironmentSpec(env_id)
    env = spec.make()
    observations, action = describe(env)
    env.close()
    policy = PolicySpec(observations.dim, action, HIDDEN)
    return EnvironmentProblem(
        spec, observations, policy, 0, normalize_observations=normalize_observations
    )


def evaluation(env_id: str, kind: str, count: int) -> float:
    """Steps a CPU second of evaluating ``count`` given policies, one episode each."""
    rows = flat(policies(env_id, kind, count))
    parents = np.concatenate(
        [rows, rows[:1]]
    )  # the last row would be mutated, if there were more members

    def search(pool: Pool) -> float:
        generation = 0

        def work() -> int:
            nonlocal generation
            generation += 1
            candidates = MutatedParents(
                0, generation, count, 1.0, num_rows=count + 1, num_unchanged=count, parents=parents
            )  # every member is one of the rows, unchanged
            return int(pool.evaluate(candidates).records["steps"].sum())

        work()
        return rate(work)

    return run_search(search, problem(env_id, normalize_observations=False))


def evolution(env_id: str, count: int, generations: int) -> tuple[float, int]:
    """Steps a CPU second and all steps of so many generations of an evolution strategy, from the
    first one on.
    """
    simulation = problem(env_id, normalize_observations=True)
    settings = TruncationESSettings(population_size=count, sigma=0.3, recombination="weighted")

    def search(pool: Pool) -> tuple[float, int]:
        def run(generations: int) -> int:
            strategy = settings.strategy(simulation.policy.initial_parameters(0), 0)
            steps = 0
            for _ in range(generations):
                candidates = strategy.ask()
                evaluations = pool.evaluate(candidates)
                strategy.tell(candidates, evaluations.fitness, pool.population())
                steps += int(evaluations.records["steps"].sum())
            return steps

        run(1)
        began = time.process_time()
        steps = run(generations)
        return steps / (time.process_time() - began), steps

    return run_search(search, simulation)


if __name__ == "__main__":
    mode, env_id, kind, count, generations = (
        sys.argv[1],
        sys.argv[2],
        sys.argv[3],
        int(sys.argv[4]),
        int(sys.argv[5]),
    )
    detail = ""
    if mode == "evaluation":
        value = evaluation(env_id, kind, count)
    else:
        value, steps = evolution(env_id, count, generations)
        detail = f"episodes of {steps / (count * generations):.0f} steps in the mean"
    emit(value, PACKAGES, "1 thread", detail)
