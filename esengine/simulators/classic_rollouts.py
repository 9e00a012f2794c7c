"""Classic control in compiled code: episodes, steps of many states, and returns of control
sequences.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.classic_physics import (
    CARTPOLE_SWING_UP,
    PENDULUM,
    move_pendulum,
    move_swing_up,
    observe,
    reset,
    step,
)
from esengine.policies import accumulate, act
from esengine.simulators.traces import keep_step


@kernel
def rollout(
    task: int,
    constant: float,
    seed: np.uint64,
    max_steps: int,
    policy: Any,
    moments: NDArray[np.float64],
    observation: NDArray[np.float32],
    trace: Any,
) -> tuple[float, int, bool]:
    """Run one episode from the start that ``seed`` gives; returns its return, its steps, and
    whether the task ended.

    Args:
        task: number of the task, see `classic_physics.TASKS`.
        constant: see `step`.
        seed: of the start, and the stream of sampled actions.
        max_steps: end of the episode.
        policy: `Actor.compiled_arguments`.
        moments: packed observation moments to add to, or an empty array.
        observation: (obs_dim,) float32, left as the last observation of the episode.
        trace: `TraceBuffer.arrays`, overwritten, or None, for which the kernel is compiled apart.
    """
    state = np.empty(4)
    reset(task, seed, state)
    result = continue_episode(
        task,
        constant,
        seed,
        state,
        0.0,
        0,
        max_steps,
        policy,
        moments,
        observation,
        trace,
    )
    observe(task, state, observation)
    if trace is not None:
        trace[0][result[1]] = observation

    return result


@kernel
def continue_episode(
    task: int,
    constant: float,
    seed: np.uint64,
    state: NDArray[np.float64],
    total: float,
    steps: int,
    max_steps: int,
    policy: Any,
    moments: NDArray[np.float64],
    observation: NDArray[np.float32],
    trace: Any,
) -> tuple[float, int, bool]:
    """Run an episode to its end; returns what `rollout` does.

    Args:
        state: (4,) after ``steps`` steps with a return of ``total``; advanced to the last one.
        task, constant, seed, max_steps, policy, moments, observation, trace: see
            `rollout`.
    """
    parameters, table, mean, inverse_std, hidden, memory, head, sampled, decoded = policy
    if trace is not None:
        observations, choices, rewards = trace
    while True:
        observe(task, state, observation)
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
        reward, terminated = step(task, state, decoded[0], constant, steps == 0)
        if trace is not None:
            keep_step(observations, choices, rewards, steps, observation, decoded, reward)
        total += reward
        steps += 1
        if terminated or steps >= max_steps:
            return total, steps, terminated


_TILE = 16  # candidates that a loop advances together, one in each lane


@kernel
def steps(
    task: int,
    constant: float,
    states: NDArray[np.float64],
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
    actions: NDArray[np.float64],
) -> None:
    """Advance each of ``states`` (n, state_size) in place by its action (n,), writing rewards and
    ends (n,).
    """
    state = np.zeros(4)
    for i in range(states.shape[0]):
        for k in range(states.shape[1]):
            state[k] = states[i, k]
        rewards[i], terminated[i] = step(task, state, actions[i], constant, False)
        for k in range(states.shape[1]):
            states[i, k] = state[k]


@kernel
def returns(
    task: int, constant: float, start: NDArray[np.float64], actions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon) from ``start`` (state_size,)."""
    totals = np.zeros(actions.shape[0])
    if task == PENDULUM:
        for first in range(0, totals.size, _TILE):
            _swing_pendulums(
                constant, start, actions[first : first + _TILE], totals[first : first + _TILE]
            )
        return totals

    if task == CARTPOLE_SWING_UP:
        for first in range(0, totals.size, _TILE):
            _swing_poles(start, actions[first : first + _TILE], totals[first : first + _TILE])
        return totals

    state = np.zeros(4)
    for i in range(totals.size):
        for k in range(start.size):
            state[k] = start[k]
        for t in range(actions.shape[1]):
            reward, terminated = step(task, state, actions[i, t], constant, False)
            totals[i] += reward
            if terminated:
                break
    return totals


@kernel
def observations(task: int, states: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write the observations of ``states`` (n, state_size) into ``out`` (n, obs_dim)."""
    for i in range(states.shape[0]):
        observe(task, states[i], out[i])


@kernel
def _swing_pendulums(
    gravity: float,
    start: NDArray[np.float64],
    actions: NDArray[np.float64],
    returns: NDArray[np.float64],
) -> None:
    """Advance up to `_TILE` pendulums together, see `returns`."""
    # angle, rate, action, sum: one array, so that no loop must check whether arrays overlap
    numbers = np.zeros(4 * _TILE)
    for i in range(_TILE):
        numbers[i] = start[0]
        numbers[_TILE + i] = start[1]

    for t in range(actions.shape[1]):
        for i in range(actions.shape[0]):
            numbers[2 * _TILE + i] = actions[i, t]
        for i in range(_TILE):
            theta, theta_dot, reward = move_pendulum(
                numbers[i], numbers[_TILE + i], numbers[2 * _TILE + i], gravity
            )
            numbers[i] = theta
            numbers[_TILE + i] = theta_dot
            numbers[3 * _TILE + i] += reward

    for i in range(returns.size):
        returns[i] = numbers[3 * _TILE + i]


@kernel
def _swing_poles(
    start: NDArray[np.float64], actions: NDArray[np.float64], returns: NDArray[np.float64]
) -> None:
    """Advance up to `_TILE` carts with poles together, see `returns`; one that has left its track
    gains nothing more.
    """
    numbers = np.zeros(7 * _TILE)  # four of the state, action, sum, whether it continues
    for i in range(_TILE):
        for k in range(4):
            numbers[k * _TILE + i] = start[k]
        numbers[6 * _TILE + i] = 1.0

    for t in range(actions.shape[1]):
        for i in range(actions.shape[0]):
            numbers[4 * _TILE + i] = actions[i, t]
        for i in range(_TILE):
            x, x_dot, theta, theta_dot, reward, off = move_swing_up(
                numbers[i],
                numbers[_TILE + i],
                numbers[2 * _TILE + i],
                numbers[3 * _TILE + i],
                numbers[4 * _TILE + i],
            )
            numbers[i] = x
            numbers[_TILE + i] = x_dot
            numbers[2 * _TILE + i] = theta
            numbers[3 * _TILE + i] = theta_dot
            numbers[5 * _TILE + i] += numbers[6 * _TILE + i] * reward
            numbers[6 * _TILE + i] = 0.0 if off else numbers[6 * _TILE + i]

    for i in range(returns.size):
        returns[i] = numbers[5 * _TILE + i]
