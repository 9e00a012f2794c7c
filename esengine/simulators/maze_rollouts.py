"""Point mazes in compiled code: episodes, steps of many states, and returns of control
sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.maze_physics import observe, step
from esengine.policies import accumulate, act
from esengine.simulators.traces import keep_step


@kernel
def steps(
    walls: NDArray[np.bool_],
    dense: bool,
    states: NDArray[np.float64],
    rewards: NDArray[np.float64],
    reached: NDArray[np.bool_],
    actions: NDArray[np.float64],
) -> None:
    """Advance each of ``states`` (n, 6) in place by its action (n, 2), writing rewards and ends
    (n,).
    """
    for i in range(len(states)):
        rewards[i], reached[i] = step(walls, dense, states[i], actions[i])


@kernel
def returns(
    walls: NDArray[np.bool_], dense: bool, start: NDArray[np.float64], actions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon, 2) from ``start`` (6,)."""
    totals, state = np.zeros(len(actions)), np.empty(6)
    for i in range(len(actions)):
        state[:] = start
        for t in range(actions.shape[1]):
            reward, reached = step(walls, dense, state, actions[i, t])
            totals[i] += reward
            if reached:
                break
    return totals


@kernel
def observations(states: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write the observations of ``states`` (n, 6) into ``out`` (n, 8)."""
    for i in range(len(states)):
        observe(states[i], out[i])


@kernel
def rollout(
    walls: NDArray[np.bool_],
    dense: bool,
    state: NDArray[np.float64],
    seed: np.uint64,
    max_steps: int,
    policy: Any,
    moments: NDArray[np.float64],
    observation: NDArray[np.float32],
    trace: Any,
) -> tuple[float, int, bool]:
    """Run one episode from ``state``; returns its return, its steps, and whether the goal was
    reached.

    Args:
        walls: (rows, columns).
        dense: see `step`.
        state: (6,) float64, advanced to the last one.
        seed: the stream of sampled actions.
        max_steps: end of the episode.
        policy: `Actor.compiled_arguments`.
        moments: packed observation moments to add to, or an empty array.
        observation: (8,) float32, left as the last observation of the episode.
        trace: `TraceBuffer.arrays`, overwritten, or None, for which the kernel is compiled apart.
    """
    parameters, table, mean, inverse_std, hidden, memory, head, sampled, decoded = policy
    if trace is not None:
        observations, choices, rewards = trace
    total, steps = 0.0, 0
    while True:
        observe(state, observation)
        if moments.size:
            accumulate(moments, observation)
        act(
            parameters,
            table,
            observation,
            mean,
            inverse_std,
            hidden,
            memory,
            head,
            sampled,
            seed,
            np.uint64(steps),
            decoded,
        )
        for k in range(2):
            decoded[k] = np.float64(np.float32(decoded[k]))  # as the environment takes it
        reward, reached = step(walls, dense, state, decoded)
        if trace is not None:
            keep_step(observations, choices, rewards, steps, observation, decoded, reward)
        total += reward
        steps += 1
        if reached or steps >= max_steps:
            break

    observe(state, observation)
    if trace is not None:
        observations[steps] = observation
    return total, steps, reached
