"""MuJoCo tasks in compiled code: episodes, steps of many states, and returns of control
sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.mujoco_physics import observe, step
from esengine.policies import accumulate, act
from esengine.simulators.traces import keep_step


@kernel
def rollout(
    arguments: Any,
    max_steps: int,
    policy: Any,
    seed: np.uint64,
    moments: NDArray[np.float64],
    observation: NDArray[np.float64],
    trace: Any,
) -> tuple[float, int, bool]:
    """Run one episode from the current state; returns its return, its steps, and whether the
    task ended.

    Args:
        arguments: of `mujoco_physics.step`, without the action.
        max_steps: end of the episode.
        policy: `Actor.compiled_arguments`.
        seed: stream of sampled actions.
        moments: packed observation moments to add to, or an empty array.
        observation: (obs_dim,) float64, left as the last observation of the episode.
        trace: `TraceBuffer.arrays`, overwritten, or None, for which the kernel is compiled apart.
    """
    task, data, bodies, constants = arguments[0], arguments[4], arguments[6], arguments[7]
    parameters, table, mean, inverse_std, hidden, memory, head, sampled, decoded = policy
    if trace is not None:
        observations, choices, rewards = trace
    flat = np.empty(observation.size, np.float32)
    action = np.empty(decoded.size, np.float32)
    total, steps = 0.0, 0
    while True:
        observe(task, data, constants, bodies, observation)
        for k in range(flat.size):
            flat[k] = np.float32(observation[k])
        if moments.size:
            accumulate(moments, flat)
        act(
            parameters,
            table,
            flat,
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
        for k in range(action.size):
            action[k] = np.float32(decoded[k])
        reward, terminated = step(*arguments, action)
        if trace is not None:
            keep_step(observations, choices, rewards, steps, flat, action, reward)
        total += reward
        steps += 1
        if terminated or steps >= max_steps:
            break

    observe(task, data, constants, bodies, observation)
    if trace is not None:
        for k in range(flat.size):
            observations[steps, k] = np.float32(observation[k])
    return total, steps, terminated


@kernel
def write_state(state: NDArray[np.float64], parts: tuple[NDArray[np.float64], ...]) -> None:
    """Put a state into the arrays of ``mjData`` that it is made of."""
    offset = 0
    for part in parts:
        for k in range(part.size):
            part[k] = state[offset + k]
        offset += part.size


@kernel
def steps(
    arguments: Any,
    parts: tuple[NDArray[np.float64], ...],
    states: NDArray[np.float64],
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
    actions: NDArray[np.float32],
) -> None:
    """Advance each of ``states`` (n, state_size) in place by its action (n, act_dim), writing
    rewards and ends (n,).

    Args:
        arguments: of `mujoco_physics.step`.
        parts: the arrays of ``mjData`` that make up a state, flat.
    """
    for i in range(states.shape[0]):
        write_state(states[i], parts)
        rewards[i], terminated[i] = step(*arguments, actions[i])
        offset = 0
        for part in parts:
            for k in range(part.size):
                states[i, offset + k] = part[k]
            offset += part.size


@kernel
def returns(
    arguments: Any,
    parts: tuple[NDArray[np.float64], ...],
    start: NDArray[np.float64],
    actions: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon, act_dim) from ``start`` (state_size,);
    see `steps`.
    """
    totals = np.zeros(actions.shape[0])
    for i in range(totals.size):
        write_state(start, parts)
        for t in range(actions.shape[1]):
            reward, terminated = step(*arguments, actions[i, t])
            totals[i] += reward
            if terminated:
                break
    return totals


@kernel
def observations(
    arguments: Any,
    parts: tuple[NDArray[np.float64], ...],
    states: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Write the observations of ``states`` (n, state_size) into ``out`` (n, obs_dim); see
    `steps`.
    """
    task, data, bodies, constants = arguments[0], arguments[4], arguments[6], arguments[7]
    observation = np.empty(out.shape[1])
    for i in range(states.shape[0]):
        write_state(states[i], parts)
        observe(task, data, constants, bodies, observation)
        for k in range(observation.size):
            out[i, k] = np.float32(observation[k])
