"""The point maze in compiled code: starts, motion against walls, observations and the reward."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments.classic_physics import uniforms

REACH = 0.4  # distance at which a goal counts as reached
_TIME_STEP, _FORCE, _DRAG = 0.1, 5.0, 2.5  # s, cells / s^2, 1 / s: at most 0.2 cells a step
_JITTER = 0.25  # of starts and goals about the middle of their cells


@kernel
def place(
    seed: np.uint64,
    starts: NDArray[np.float64],
    goals: NDArray[np.float64],
    state: NDArray[np.float64],
) -> None:
    """Write the state after ``reset(seed=seed)`` into ``state``, (6,): place, speed and goal.

    Args:
        seed: of the reset.
        starts, goals: (num_cells, 2) middles of the cells that an episode may start in and aim at.
    """
    drawn = np.empty(6)
    uniforms(seed, drawn)
    place_by(drawn, starts, goals, state)


@kernel
def place_by(
    drawn: NDArray[np.float64],
    starts: NDArray[np.float64],
    goals: NDArray[np.float64],
    state: NDArray[np.float64],
) -> None:
    """`place` by six numbers of [0, 1)."""
    start = starts[int(drawn[0] * len(starts))]
    goal = goals[int(drawn[1] * len(goals))]
    for k in range(2):
        state[k] = start[k] + _JITTER * (2 * drawn[2 + k] - 1)
        state[2 + k] = 0.0
        state[4 + k] = goal[k] + _JITTER * (2 * drawn[4 + k] - 1)


@kernel(inline="always")
def advance(
    walls: NDArray[np.bool_], state: NDArray[np.float64], push_x: float, push_y: float
) -> None:
    """One step of 0.1 s: v' = 5 a - 2.5 v. A wall stops the point along the axis on which it is
    met.
    """
    for k in range(2):
        push = min(max(push_x if k == 0 else push_y, -1.0), 1.0)
        speed = state[2 + k] + _TIME_STEP * (_FORCE * push - _DRAG * state[2 + k])
        moved = state[k] + _TIME_STEP * speed
        column, row = (moved, state[1]) if k == 0 else (state[0], moved)
        if walls[int(row), int(column)]:
            moved, speed = state[k], 0.0
        state[k], state[2 + k] = moved, speed


@kernel(inline="always")
def distance(x: float, y: float, goal_x: float, goal_y: float) -> float:
    """From a place to a goal, in cells."""
    return math.sqrt((x - goal_x) * (x - goal_x) + (y - goal_y) * (y - goal_y))


@kernel
def step(
    walls: NDArray[np.bool_], dense: bool, state: NDArray[np.float64], action: NDArray[np.float64]
) -> tuple[float, bool]:
    """Advance ``state`` (6,) in place; returns the reward, and whether the goal is reached, which
    ends the episode.
    """
    advance(walls, state, action[0], action[1])
    apart = distance(state[0], state[1], state[4], state[5])
    reached = apart <= REACH
    return (-apart if dense else (1.0 if reached else 0.0)), reached


@kernel
def observe(state: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write the flat observation, (8,): achieved goal, desired goal, and the observation proper,
    place and speed.
    """
    for k in range(2):
        out[k] = state[k]
        out[2 + k] = state[4 + k]
        out[4 + k] = state[k]
        out[6 + k] = state[2 + k]
