"""A point mass in a maze, with gymnasium's goal API: ``esengine/PointMaze-v0``, compiled."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from esengine.environments import maze_physics as kernels
from esengine.errors import UserError, listed

MAZES = {
    "open": ("#######", "#S...G#", "#....G#", "#...GG#", "#######"),
    "u": ("#######", "#S....#", "#####.#", "#G....#", "#######"),
    "s": (
        "#########",
        "#S......#",
        "#######.#",
        "#.......#",
        "#.#######",
        "#......G#",
        "#########",
    ),
    "snake": (
        "#######",
        "#S....#",
        "#####.#",
        "#.....#",
        "#.#####",
        "#.....#",
        "#####.#",
        "#.....#",
        "#.#####",
        "#....G#",
        "#######",
    ),
    "meander": (
        "##########",
        "#S.#.....#",
        "##.#.###.#",
        "#..#..#..#",
        "#.###.#.##",
        "#.....#.G#",
        "##########",
    ),
}
"""Walls are #, cells to start in S, cells to aim at G."""

Observation = dict[str, NDArray[np.float64]]


class PointMaze(gymnasium.Env[Observation, NDArray[np.float32]]):
    """Push a point mass through a maze to a goal; cells have side 1, the first row and column begin
    at 0.

    Observation: ``observation`` x, y and their rates, ``achieved_goal`` x, y, ``desired_goal`` x,
    y. Action: two forces in [-1, 1]. Reward: 1 where the goal is within 0.4, which ends the
    episode, and 0 elsewhere; dense, minus the distance.

    Args:
        maze: open, u, s, snake or meander, in the order of the length of the way to the goal.
        dense: reward closeness to the goal.

    Attributes:
        state: (6,) float64: place, speed, goal.
    """

    def __init__(self, maze: str = "u", dense: bool = False) -> None:
        if maze not in MAZES:
            raise UserError(f"maze must be one of {listed(MAZES)}, got {maze!r}; u is the default")
        cells = np.array([list(row) for row in MAZES[maze]])
        self.walls = cells == "#"
        self.dense = dense
        self.starts, self.goals = (np.argwhere(cells == mark)[:, ::-1] + 0.5 for mark in "SG")

        far = np.full(2, np.inf)
        place = spaces.Box(np.zeros(2), np.array(cells.shape[::-1], np.float64), dtype=np.float64)
        moving = spaces.Box(
            np.concatenate([place.low, -far]), np.concatenate([place.high, far]), dtype=np.float64
        )
        self.observation_space: Any = spaces.Dict(
            {"observation": moving, "achieved_goal": place, "desired_goal": place}
        )
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.state = np.zeros(6)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start an episode; the option ``goal``, (2,), replaces the maze's own goals."""
        super().reset(seed=seed)
        kernels.place_by(self.np_random.random(6), self.starts, self.goals, self.state)
        if options and "goal" in options:
            self.set_goal(options["goal"])
        return self._observation(), {"is_success": False}

    def set_goal(self, goal: NDArray[np.float64]) -> None:
        """Aim at ``goal``, (2,), until the next reset."""
        self.state[4:] = goal

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        push = np.asarray(action, np.float32).astype(np.float64).ravel()
        reward, reached = kernels.step(self.walls, self.dense, self.state, push)
        return self._observation(), reward, reached, False, {"is_success": reached}

    def compute_reward(
        self, achieved_goal: NDArray[Any], desired_goal: NDArray[Any], info: Any
    ) -> Any:
        """The reward of having reached ``achieved_goal`` when ``desired_goal`` was wanted, both
        (..., 2).
        """
        apart = _distances(achieved_goal, desired_goal)
        return -apart if self.dense else (apart <= kernels.REACH).astype(np.float64)

    def compute_terminated(
        self, achieved_goal: NDArray[Any], desired_goal: NDArray[Any], info: Any
    ) -> Any:
        """Whether reaching ``achieved_goal`` ends the episode, see `compute_reward`."""
        return _distances(achieved_goal, desired_goal) <= kernels.REACH

    def get_state(self) -> NDArray[np.float64]:
        """Place, speed and goal, (6,)."""
        return self.state.copy()

    def set_state(self, state: NDArray[np.float64]) -> None:
        """Continue from a state of `get_state`."""
        self.state[:] = state

    def _observation(self) -> Observation:
        return {
            "observation": self.state[:4].copy(),
            "achieved_goal": self.state[:2].copy(),
            "desired_goal": self.state[4:].copy(),
        }


def _distances(achieved_goal: NDArray[Any], desired_goal: NDArray[Any]) -> NDArray[np.float64]:
    """Between goals (..., 2), in cells."""
    apart = np.asarray(achieved_goal, np.float64) - np.asarray(desired_goal, np.float64)
    return np.sqrt(apart[..., 0] * apart[..., 0] + apart[..., 1] * apart[..., 1])
