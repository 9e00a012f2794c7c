"""The point maze for rollouts and for planners, all in compiled code."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.environments import maze_physics
from esengine.environments.point_maze import PointMaze
from esengine.policies.network import Actor
from esengine.simulators import maze_rollouts
from esengine.simulators.contract import NO_GATE, NO_MOMENTS, UNLIMITED, Episode, Gate
from esengine.simulators.dynamics import Transitions


class MazeSimulator:
    """Episodes of a `PointMaze`; the environment itself is not used.

    Args:
        env: the maze, with a limit of steps at most around it.

    Attributes:
        reached: whether the last episode reached its goal.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        maze = env.unwrapped
        assert isinstance(maze, PointMaze)
        self._maze, self.reached = maze, False
        self._limit = getattr(env.spec, "max_episode_steps", None) or UNLIMITED
        self._state, self._observation = np.zeros(6), np.empty(8, np.float32)

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
        goal: NDArray[np.float64] | None = None,
    ) -> Episode:
        """One episode, with the arguments of `stepped.run_episode`; it aims at ``goal`` where that
        is given.
        """
        maze, limit = self._maze, self._limit if max_steps is None else min(self._limit, max_steps)
        maze_physics.place(np.uint64(seed), maze.starts, maze.goals, self._state)
        if goal is not None:
            self._state[4:] = goal
        task = (maze.walls, maze.dense, self._state, np.uint64(seed))
        policy = (
            actor.compiled_arguments,
            NO_MOMENTS if moments is None else moments,
            self._observation,
        )
        at_gate, total, steps = np.nan, 0.0, 0
        for until in sorted({min(gate.step, limit), limit} - {0}):
            gained, taken, self.reached = maze_rollouts.rollout(*task, steps, until, *policy)
            total, steps = total + gained, steps + taken
            if until == gate.step or (gate.step and np.isnan(at_gate)):
                at_gate = total
            if self.reached or (steps == gate.step and total < gate.least):
                break
        return Episode(total, steps, at_gate, self._observation)

    def close(self) -> None:
        self._maze.close()


class MazeDynamics:
    """A `PointMaze` as planners see it; a state is place, speed and goal. Walls and sparse rewards
    are not smooth.

    Args:
        env: the maze.
    """

    state_size, num_coordinates, smooth = 6, 4, False

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        maze = env.unwrapped
        assert isinstance(maze, PointMaze)
        self._maze = maze
        self.low, self.high = -np.ones(2), np.ones(2)

    def state_of(self, env: gymnasium.Env[Any, Any]) -> NDArray[np.float64]:
        state: NDArray[np.float64] = env.unwrapped.get_state()  # type: ignore[attr-defined]
        return state

    def action_of(self, control: NDArray[np.float64]) -> Any:
        return control.astype(np.float32)

    def control_of(self, action: Any) -> NDArray[np.float64]:
        return np.clip(np.asarray(action, np.float64), self.low, self.high)

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        after, rewards, reached = (
            np.array(states),
            np.empty(len(states)),
            np.empty(len(states), np.bool_),
        )
        maze_rollouts.steps(
            self._maze.walls, self._maze.dense, after, _rounded(controls), rewards, reached
        )
        return Transitions(after, rewards, reached)

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        returns: NDArray[np.float64] = maze_rollouts.returns(
            self._maze.walls, self._maze.dense, state, _rounded(controls)
        )
        return returns

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), 8), np.float32)
        _observations(states, out)
        return out


@kernel
def _observations(states: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    for i in range(len(states)):
        maze_physics.observe(states[i], out[i])


def _rounded(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Controls as the environment takes them, in float32."""
    return controls.astype(np.float32).astype(np.float64)
