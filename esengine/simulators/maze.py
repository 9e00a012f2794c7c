"""The point maze, all in compiled code: simulator and dynamics."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments import ObservationSpec, class_of, maze_physics
from esengine.environments.point_maze import PointMaze
from esengine.environments.task_code import changed_attribute, changed_code
from esengine.policies.network import Actor
from esengine.simulators import maze_rollouts
from esengine.simulators.contract import NO_MOMENTS, Family, step_limit
from esengine.simulators.controls import Controls
from esengine.simulators.dynamics import Transitions
from esengine.simulators.traces import Episode, TraceBuffer
from esengine.user_code import close


class MazeSimulator:
    """Runs a `PointMaze`; the environment itself is not used.

    Args:
        env: the maze.
        observations: how its observations become flat vectors.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], observations: ObservationSpec) -> None:
        self._maze = _maze_of(env)
        self._limit = step_limit(env)
        self._state = np.zeros(6)
        self._observation = np.empty(observations.dim, np.float32)

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        trace: TraceBuffer | None = None,
        goal: NDArray[np.float64] | None = None,
    ) -> Episode:
        """Run one episode, see `Simulator.run`; it aims at ``goal``, (2,), if that is given."""
        maze = self._maze
        maze_physics.place(np.uint64(seed), maze.starts, maze.goals, self._state)
        if goal is not None:
            self._state[4:] = goal

        total, steps, terminated = maze_rollouts.rollout(
            maze.walls,
            maze.dense,
            self._state,
            np.uint64(seed),
            self._limit if max_steps is None else min(self._limit, max_steps),
            actor.compiled_arguments,
            NO_MOMENTS if moments is None else moments,
            self._observation,
            None if trace is None else trace.arrays,
        )
        return Episode(total, steps, terminated, self._observation)

    def close(self) -> None:
        close(self._maze)


class MazeDynamics(Controls):
    """A `PointMaze` for planners; a state is place, speed and goal. Walls and sparse rewards are
    not smooth.

    Args:
        env: the maze.
    """

    state_size = 6
    num_coordinates = 4

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.smooth = False
        maze = _maze_of(env)
        self._maze = (maze.walls, maze.dense)

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        return _maze_of(env).get_state()

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        transitions = Transitions.starting_from(states)
        maze_rollouts.steps(*self._maze, *transitions, _rounded(controls))
        return transitions

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return maze_rollouts.returns(*self._maze, state, _rounded(controls))

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        out = np.empty((len(states), 8), np.float32)
        maze_rollouts.observations(states, out)
        return out


def _maze_of(env: gymnasium.Env[Any, Any]) -> PointMaze:
    maze = env.unwrapped
    assert isinstance(maze, PointMaze)
    return maze


def _rounded(controls: NDArray[np.float64]) -> NDArray[np.float64]:
    """Controls as the environment takes them, in float32."""
    return controls.astype(np.float32).astype(np.float64)


def _difference(task: gymnasium.Env[Any, Any]) -> str | None:
    passed_on = ("walls", "dense", "starts", "goals", "observation_space")
    return changed_code(PointMaze, class_of(task), ("step",)) or changed_attribute(
        task, PointMaze(), passed_on
    )


MAZE = Family(
    "maze", lambda task: type(task) is PointMaze, _difference, MazeSimulator, MazeDynamics
)
