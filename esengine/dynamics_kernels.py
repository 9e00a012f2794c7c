"""Candidate control sequences of one state, or steps of many states, as compiled loops over their kernels of a step."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import classic_physics, mujoco_physics
from esengine.environments.classic_physics import CARTPOLE_SWING_UP, PENDULUM, move_pendulum, move_swing_up

_TILE = 16  # candidates that a loop advances together, one in each lane


@kernel
def classic_steps(
    task: int,
    constant: float,
    states: NDArray[np.float64],
    actions: NDArray[np.float64],
    rewards: NDArray[np.float64],
    terminated: NDArray[np.bool_],
) -> None:
    """Advance each of ``states`` (n, state_size) in place by its action (n,), writing rewards and ends (n,)."""
    state = np.zeros(4)
    for i in range(states.shape[0]):
        for k in range(states.shape[1]):
            state[k] = states[i, k]
        rewards[i], terminated[i] = classic_physics.step(task, state, actions[i], constant, False)
        for k in range(states.shape[1]):
            states[i, k] = state[k]


@kernel
def classic_returns(
    task: int, constant: float, start: NDArray[np.float64], actions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon) from ``start`` (state_size,)."""
    returns = np.zeros(actions.shape[0])
    if task == PENDULUM:
        for first in range(0, returns.size, _TILE):
            _swing_pendulums(constant, start, actions[first : first + _TILE], returns[first : first + _TILE])
        return returns
    if task == CARTPOLE_SWING_UP:
        for first in range(0, returns.size, _TILE):
            _swing_poles(start, actions[first : first + _TILE], returns[first : first + _TILE])
        return returns
    state = np.zeros(4)
    for i in range(returns.size):
        for k in range(start.size):
            state[k] = start[k]
        for t in range(actions.shape[1]):
            reward, terminated = classic_physics.step(task, state, actions[i, t], constant, False)
            returns[i] += reward
            if terminated:
                break
    return returns


@kernel
def classic_observations(task: int, states: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write the observations of ``states`` (n, state_size) into ``out`` (n, obs_dim)."""
    for i in range(states.shape[0]):
        classic_physics.observe(task, states[i], out[i])


@kernel
def _swing_pendulums(
    gravity: float, start: NDArray[np.float64], actions: NDArray[np.float64], returns: NDArray[np.float64]
) -> None:
    """Up to `_TILE` pendulums in step."""
    numbers = np.empty(4 * _TILE)  # angle, rate, action, sum: one array, so that no loop must check whether arrays overlap
    for i in range(_TILE):
        numbers[i], numbers[_TILE + i], numbers[2 * _TILE + i], numbers[3 * _TILE + i] = start[0], start[1], 0.0, 0.0
    for t in range(actions.shape[1]):
        for i in range(actions.shape[0]):
            numbers[2 * _TILE + i] = actions[i, t]
        for i in range(_TILE):
            theta, theta_dot, reward = move_pendulum(numbers[i], numbers[_TILE + i], numbers[2 * _TILE + i], gravity)
            numbers[i], numbers[_TILE + i] = theta, theta_dot
            numbers[3 * _TILE + i] += reward
    for i in range(returns.size):
        returns[i] = numbers[3 * _TILE + i]


@kernel
def _swing_poles(start: NDArray[np.float64], actions: NDArray[np.float64], returns: NDArray[np.float64]) -> None:
    """Up to `_TILE` carts with poles in step; one that has left its track gains nothing more."""
    numbers = np.empty(7 * _TILE)  # four of the state, action, sum, whether it goes on
    for i in range(_TILE):
        for k in range(4):
            numbers[k * _TILE + i] = start[k]
        numbers[4 * _TILE + i], numbers[5 * _TILE + i], numbers[6 * _TILE + i] = 0.0, 0.0, 1.0
    for t in range(actions.shape[1]):
        for i in range(actions.shape[0]):
            numbers[4 * _TILE + i] = actions[i, t]
        for i in range(_TILE):
            x, x_dot, theta, theta_dot, reward, off = move_swing_up(
                numbers[i], numbers[_TILE + i], numbers[2 * _TILE + i], numbers[3 * _TILE + i], numbers[4 * _TILE + i]
            )
            numbers[i], numbers[_TILE + i], numbers[2 * _TILE + i], numbers[3 * _TILE + i] = x, x_dot, theta, theta_dot
            numbers[5 * _TILE + i] += numbers[6 * _TILE + i] * reward
            numbers[6 * _TILE + i] = 0.0 if off else numbers[6 * _TILE + i]
    for i in range(returns.size):
        returns[i] = numbers[5 * _TILE + i]


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
    """Advance each of ``states`` (n, state_size) in place by its action (n, act_dim), writing rewards and ends (n,).

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
    arguments: Any, parts: tuple[NDArray[np.float64], ...], start: NDArray[np.float64], actions: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Returns (n,) of the sequences ``actions`` (n, horizon, act_dim) from ``start`` (state_size,); see `mujoco_steps`."""
    returns = np.zeros(actions.shape[0])
    for i in range(returns.size):
        write_state(start, parts)
        for t in range(actions.shape[1]):
            reward, terminated = mujoco_physics.step(*arguments, actions[i, t])
            returns[i] += reward
            if terminated:
                break
    return returns
