"""MuJoCo tasks in compiled code: episodes, steps of many states, and returns of control
sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import mujoco_physics
from esengine.environments.mujoco_physics import observe, step
from esengine.policies.network import act
from esengine.policies.normalizer import accumulate


@kernel
def _observe_flat(
    task: int,
    data: Any,
    constants: NDArray[np.float64],
    bodies: tuple[int, int, int],
    observation: NDArray[np.float64],
    flat: NDArray[np.float32],
) -> None:
    """`observe`, then the same rounded to float32."""
    observe(task, data, constants, bodies[1], bodies[2], observation)
    for k in range(flat.size):
        flat[k] = np.float32(observation[k])


@kernel
def rollout(
    task: int,
    functions: tuple[int, int],
    handles: tuple[int, int],
    frame_skip: int,
    data: Any,
    body_mass: NDArray[np.float64],
    bodies: tuple[int, int, int],
    constants: NDArray[np.float64],
    max_steps: int,
    policy: Any,
    key: np.uint64,
    moments: NDArray[np.float64],
    observation: NDArray[np.float64],
    gate_step: int,
    least: float,
) -> tuple[float, int, float]:
    """Run the policy from the current state to the end of the episode; returns its return, its
    steps, its return at the gate.

    Args:
        policy: the arguments of `policies.act` up to ``sampled``, without the observation.
        key: stream of sampled actions.
        moments: packed observation moments to add to, or an empty array.
        observation: (obs_dim,) float64 working memory.
        gate_step, least: see `contract.Gate`.
        max_steps: see `step` for the other arguments.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    flat = np.empty(observation.size, np.float32)
    action = np.empty(decoded.size, np.float32)
    total, steps, at_gate = 0.0, 0, np.nan
    while True:
        _observe_flat(task, data, constants, bodies, observation, flat)
        if moments.size:
            accumulate(moments, flat)
        act(
            parameters,
            sizes,
            flat,
            mean,
            inverse_std,
            hidden,
            head,
            sampled,
            key,
            np.uint64(steps),
            decoded,
        )
        for k in range(action.size):
            action[k] = np.float32(decoded[k])
        gained, terminated = step(
            task, functions, handles, frame_skip, data, body_mass, bodies, constants, action
        )
        total += gained
        steps += 1
        ended = terminated or steps >= max_steps
        if ended or steps == gate_step:
            if steps <= gate_step:
                at_gate = total
            if ended or total < least:
                return total, steps, at_gate


@kernel
def trace(
    task: int,
    functions: tuple[int, int],
    handles: tuple[int, int],
    frame_skip: int,
    data: Any,
    body_mass: NDArray[np.float64],
    bodies: tuple[int, int, int],
    constants: NDArray[np.float64],
    policy: Any,
    key: np.uint64,
    moments: NDArray[np.float64],
    observation: NDArray[np.float64],
    observations: NDArray[np.float32],
    choices: NDArray[np.float64],
    rewards: NDArray[np.float64],
) -> tuple[float, int, bool]:
    """`rollout` that keeps what it sees, does and gets; returns return, steps, and whether the task
    ended.

    Args:
        observations: (horizon + 1, obs_dim) overwritten up to the end of the episode.
        choices: (horizon, act_dim) overwritten likewise.
        rewards: (horizon,) overwritten likewise; see `rollout` for the other arguments.
    """
    parameters, sizes, mean, inverse_std, hidden, head, sampled, decoded = policy
    action = np.empty(decoded.size, np.float32)
    total, steps, terminated = 0.0, 0, False
    while not terminated and steps < choices.shape[0]:
        flat = observations[steps]
        _observe_flat(task, data, constants, bodies, observation, flat)
        if moments.size:
            accumulate(moments, flat)
        act(
            parameters,
            sizes,
            flat,
            mean,
            inverse_std,
            hidden,
            head,
            sampled,
            key,
            np.uint64(steps),
            decoded,
        )
        for k in range(action.size):
            action[k] = np.float32(decoded[k])
            choices[steps, k] = action[k]
        rewards[steps], terminated = step(
            task, functions, handles, frame_skip, data, body_mass, bodies, constants, action
        )
        total += rewards[steps]
        steps += 1
    _observe_flat(task, data, constants, bodies, observation, observations[steps])
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
def mujoco_steps(
    arguments: Any,
    parts: tuple[NDArray[np.float64], ...],
    states: NDArray[np.float64],
    actions: NDArray[np.float32],
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
) -> None:
    """Advance each of ``states`` (n, state_size) in place by its action (n, act_dim), writing
    rewards and ends (n,).

    Args:
        arguments: of `mujoco_physics.step`.
        parts: the arrays of ``mjData`` that make up a state, flat.
    """
    for i in range(states.shape[0]):
        write_state(states[i], parts)
        rewards[i], terminated[i] = mujoco_physics.step(*arguments, actions[i])
        offset = 0
        for part in parts:
            for k in range(part.size):
                states[i, offset + k] = part[k]
            offset += part.size


@kernel
def mujoco_returns(
    arguments: Any,
    parts: tuple[NDArray[np.float64], ...],
    start: NDArray[np.float64],
    actions: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon, act_dim) from ``start`` (state_size,);
    see `mujoco_steps`.
    """
    returns = np.zeros(actions.shape[0])
    for i in range(returns.size):
        write_state(start, parts)
        for t in range(actions.shape[1]):
            reward, terminated = mujoco_physics.step(*arguments, actions[i, t])
            returns[i] += reward
            if terminated:
                break
    return returns
