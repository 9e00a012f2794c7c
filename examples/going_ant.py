"""An ant that goes to a place by a plan over gaits; docs/diversity.md has the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from examples.walking_ant import WalkingAnt

REACH = 0.5  # metres between the ant and a place where it is
_WHOLE = mujoco.mjtState.mjSTATE_INTEGRATION


class GoingAnt(gymnasium.Env[NDArray[np.float64], NDArray[np.float32]]):
    """The walking ant, with a reward of 1 at a place and none elsewhere.

    The ``info`` has where it is, ``x`` and ``y``. A planner can read and set its state.

    Args:
        target: x and y of the place in metres; None for no place and no reward.
        render_mode: see gymnasium.
    """

    num_coordinates = 2

    def __init__(
        self, target: Sequence[float] | None = None, render_mode: str | None = None
    ) -> None:
        self._ant = WalkingAnt(render_mode=render_mode)
        self._target = None if target is None else np.array(target, np.float64)
        self.render_mode, self.metadata = render_mode, self._ant.metadata
        self.observation_space = self._ant.observation_space
        self.action_space = self._ant.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        super().reset(seed=seed)
        observation, _ = self._ant.reset(seed=seed)
        return observation, {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, float]]:
        observation, *_ = self._ant.step(action)
        place = self._ant.data.qpos[:2]
        reached = self._target is not None and np.linalg.norm(place - self._target) < REACH
        info = {"x": float(place[0]), "y": float(place[1])}
        return observation, float(reached), bool(reached), False, info

    def get_observation(self) -> NDArray[np.float64]:
        return self._ant.seen()

    def get_state(self) -> NDArray[np.float64]:
        """Where it is, when it is and all that MuJoCo knows."""
        model, data = self._ant.model, self._ant.data
        physics = np.empty(mujoco.mj_stateSize(model, _WHOLE))
        mujoco.mj_getState(model, data, physics, _WHOLE)
        return np.concatenate([data.qpos[:2], [self._ant.steps], physics])

    def set_state(self, state: NDArray[np.float64]) -> None:
        """Continue from a state of `get_state`."""
        model, data = self._ant.model, self._ant.data
        self._ant.steps = int(state[2])
        mujoco.mj_setState(model, data, state[3:], _WHOLE)

    def render(self) -> Any:
        return cast(Any, self._ant).render()  # without types in gymnasium

    def close(self) -> None:
        cast(Any, self._ant).close()


gymnasium.register("GoingAnt-v0", cast(Any, GoingAnt), max_episode_steps=300)
