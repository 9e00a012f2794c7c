"""``python -m benchmarks.networks.speed``: what a step of each network costs, on one core, each
compared with torch's own forward of the same network in turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import torch

from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.policies import Actor, PolicySpec
from esengine.policies.torch_network import TorchPolicy
from esengine.simulators import make_simulator

REPEATS = 7


def fastest(*calls: Callable[[], int]) -> list[float]:
    """Microseconds of processor time for each of the steps that a call returns, the best of several
    turns.
    """
    best = [np.inf] * len(calls)
    for _ in range(REPEATS):
        for number, call in enumerate(calls):
            began = time.process_time()
            steps = call()
            best[number] = min(best[number], (time.process_time() - began) / steps * 1e6)
    return best


def actor_of(spec: PolicySpec, inverse_std: float = 1.0) -> Actor:
    """An actor with small random parameters."""
    random = np.random.default_rng(0)
    row = random.normal(0, 0.1, spec.num_parameters).astype(np.float32)
    scale = np.full(spec.observation_dim, inverse_std, np.float32)
    return Actor(spec, row, np.zeros_like(scale), scale)


def compared(name: str, spec: PolicySpec, steps: int, inverse_std: float = 1.0) -> None:
    """Print the cost of a network's step, and of torch's."""
    actor = actor_of(spec, inverse_std)
    scaling = (actor.observation_mean, actor.observation_inverse_std)
    policy = TorchPolicy(spec, actor.parameters, *scaling)
    observation = np.random.default_rng(1).random(spec.observation_dim).astype(np.float32)
    inputs = torch.tensor(observation)[None]
    state: Any = None

    def ours() -> int:
        for step in range(steps):
            actor.act(observation, step=step)
        return steps

    def theirs() -> int:
        nonlocal state
        with torch.inference_mode():
            for _ in range(steps):
                if spec.is_recurrent:
                    _, state = policy.sequence(inputs[None], state)
                else:
                    policy.outputs(inputs)
        return steps

    mine, other = fastest(ours, theirs)
    print(f"{name}: {mine:.1f} us a step, torch {other:.1f} us, {other / mine:.2f} times")


def module_step() -> None:
    """Print the cost of a module in the engine's loop, and in a bare one."""
    env_id = "Pendulum-v1"
    environment = EnvironmentSpec(env_id)
    observations, action = environment.spaces()
    spec = PolicySpec(observations.dim, action, module="tests.support.networks:Plain")
    actor = actor_of(spec)
    simulator = make_simulator(environment, observations, "gymnasium")
    module = spec.module_network().module
    env = gymnasium.make(env_id)

    def ours() -> int:
        return simulator.run(actor, 0).num_steps

    def bare() -> int:
        observation, _ = env.reset(seed=0)
        steps = 0
        over = False
        with torch.inference_mode():
            while not over:
                outputs = module(torch.from_numpy(observation)[None])
                values = np.clip(2 * outputs[0].numpy(), -2, 2)
                observation, _, terminated, truncated, _ = env.step(values)
                over = terminated or truncated
                steps += 1
        return steps

    mine, other = fastest(ours, bare)
    print(
        f"a module on {env_id}: {mine:.1f} us a step, bare loop {other:.1f} us, "
        f"{other / mine:.2f} times"
    )


def main() -> None:
    """Print all figures."""
    torch.set_num_threads(1)
    for memory in ("gru", "lstm"):
        spec = PolicySpec(3, ActionSpec.of(gymnasium.spaces.Discrete(2)), (256,), memory=memory)
        compared(f"{memory} of 256 units", spec, 500)
    discrete = ActionSpec.of(gymnasium.spaces.Discrete(6))
    for shape, convolutions, hidden in (
        ((84, 84, 4), ((16, 8, 4), (32, 4, 2)), 256),
        ((10, 10, 4), ((16, 3, 1),), 128),
    ):
        spec = PolicySpec(
            int(np.prod(shape)),
            discrete,
            (hidden,),
            activation="relu",
            observation_shape=shape,
            convolutions=convolutions,
        )
        compared(f"convolutions of {shape}", spec, 50, 1 / 255)
    module_step()

    environment = EnvironmentSpec("Pendulum-v1")
    observations, action = environment.spaces()
    actor = actor_of(PolicySpec(observations.dim, action, (256,), memory="gru"))
    simulator = make_simulator(environment, observations, "compiled")
    (cost,) = fastest(lambda: simulator.run(actor, 0).num_steps)
    print(f"Pendulum-v1 with a gru of 256 units: {1e6 / cost:,.0f} steps/s a core")


if __name__ == "__main__":
    main()
