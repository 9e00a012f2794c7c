"""Useful steps a CPU second of evosax with gymnax, all of the process's threads counted,
compilation not.

gymnax steps every member to the limit of the episode and masks what comes after its end. A useful
step is one before the end: CartPole pays a reward of 1 for each, Pendulum's episodes never end
early.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
from evosax.algorithms import SimpleES
from evosax.problems import GymnaxProblem
from evosax.problems.networks import MLP

from benchmarks.peers.measure.figure import emit, rate
from benchmarks.peers.policies import SIZES, policies

PENDULUM_STEPS = 200


def first_best(outputs: Any, key: Any) -> Any:
    """CartPole's action."""
    return jnp.argmax(outputs)


def torque(outputs: Any, key: Any) -> Any:
    """Pendulum's action, which the environment clips."""
    return 2 * outputs


def problem(env_id: str, normalize_observations: bool) -> Any:
    """The environment with the policy of `benchmarks.peers.policies`."""
    head = first_best if env_id == "CartPole-v1" else torque
    return GymnaxProblem(
        env_id, MLP(SIZES[env_id][1:], output_fn=head), use_normalize_obs=normalize_observations
    )


def useful_steps(env_id: str, fitness: Any) -> int:
    """Steps before the ends of the episodes whose returns these are; waits for them."""
    fitness.block_until_ready()
    return int(fitness.sum()) if env_id == "CartPole-v1" else PENDULUM_STEPS * fitness.size


def evaluation(env_id: str, kind: str, count: int) -> float:
    """Useful steps a CPU second of evaluating ``count`` given policies, one episode each."""
    simulation = problem(env_id, normalize_observations=False)
    layers = policies(env_id, kind, count)
    solutions = {
        "params": {
            f"Dense_{i}": {"kernel": jnp.array(weights), "bias": jnp.array(biases)}
            for i, (weights, biases) in enumerate(layers)
        }
    }
    state = simulation.init(jax.random.key(0))
    evaluate = jax.jit(
        lambda key: simulation.eval(key, solutions, state)[0]
    )  # fitness alone: no trajectory is kept
    key = jax.random.key(1)

    def work() -> int:
        nonlocal key
        key, this = jax.random.split(key)
        return useful_steps(env_id, evaluate(this))

    work()
    return rate(work)


def evolution(env_id: str, count: int, generations: int) -> tuple[float, int]:
    """Useful steps a CPU second and all of them, of so many generations of an evolution strategy in
    one compiled loop.
    """
    simulation = problem(env_id, normalize_observations=True)
    solution = simulation.sample(jax.random.key(0))
    strategy = SimpleES(count, solution)
    params = strategy.default_params.replace(std_init=0.3)

    def step(carry: Any, key: Any) -> Any:
        state, simulation_state = carry
        key_ask, key_eval, key_tell = jax.random.split(key, 3)
        population, state = strategy.ask(key_ask, state, params)
        fitness, simulation_state, _ = simulation.eval(key_eval, population, simulation_state)
        state, _ = strategy.tell(key_tell, population, -fitness, state, params)
        return (state, simulation_state), fitness

    @jax.jit
    def run(key: Any) -> Any:
        carry = (strategy.init(key, solution, params), simulation.init(key))
        return jax.lax.scan(step, carry, jax.random.split(key, generations))[1]

    run(jax.random.key(1)).block_until_ready()
    began = time.process_time()
    steps = useful_steps(env_id, run(jax.random.key(2)))
    return steps / (time.process_time() - began), steps


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
    emit(
        value,
        ("evosax", "gymnax", "jax", "jaxlib", "flax", "numpy"),
        f"XLA on {len(os.sched_getaffinity(0))} core(s)",
        detail,
    )
