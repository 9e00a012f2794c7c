"""An ant that walks to a rhythm, and may have a leg that is switched off: ``esengine train
map-elites --env-id examples.walking_ant:WalkingAnt-v0 --policy linear``.
"""

from __future__ import annotations

import math
from typing import Any, cast

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from numpy.typing import NDArray

EPISODE_STEPS = 100  # of 0.05 s
_RHYTHM_HZ = 1.5
_FEET = ("left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom")
_MOTORS = ((2, 3), (4, 5), (6, 7), (0, 1))  # hip and ankle of each leg


class WalkingAnt(AntEnv):
    """The ant of gymnasium, whose return is its mean speed along x in m/s.

    The observation is the angles of the eight joints, and the sine and cosine of a rhythm. The
    ``info`` has the share of time that each foot has been on the ground, ``foot0`` to ``foot3``.
    It is integrated by MuJoCo's ``implicitfast``, which takes a quarter of the time.

    Args:
        broken_leg: the leg whose motors are off, 0 to 3; -1 for none.
        start_noise: how far positions and speeds at the start may be from those of standing still.
        render_mode: see gymnasium.
    """

    def __init__(
        self, broken_leg: int = -1, start_noise: float = 0.02, render_mode: str | None = None
    ) -> None:
        super().__init__(render_mode=render_mode, reset_noise_scale=start_noise)
        self.model.opt.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        self.observation_space = spaces.Box(-np.inf, np.inf, (10,), np.float64)
        self._feet = np.array([self.model.geom(name).id for name in _FEET])
        self._power = np.ones(8)
        if broken_leg >= 0:
            self._power[list(_MOTORS[broken_leg])] = 0.0

    def reset_model(self) -> NDArray[np.float64]:
        cast(Any, super()).reset_model()  # without types in gymnasium
        self._steps = 0
        self._contacts = np.zeros(4)
        return self._seen()

    def step(
        self, action: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], np.float64, bool, bool, dict[str, np.float64]]:
        before = self.data.qpos[0]
        self.data.ctrl[:] = action * self._power
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        self._steps += 1
        self._contacts += np.isin(self._feet, self.data.contact.geom)
        metres = self.data.qpos[0] - before
        if self.render_mode == "human":
            cast(Any, self).render()
        feet = self._contacts / self._steps
        info = {f"foot{leg}": share for leg, share in enumerate(feet)}
        speed = np.float64(metres / (self.dt * EPISODE_STEPS))
        return self._seen(), speed, False, False, info

    def _seen(self) -> NDArray[np.float64]:
        phase = 2 * math.pi * _RHYTHM_HZ * self._steps * self.dt
        return np.append(self.data.qpos[7:], [math.sin(phase), math.cos(phase)])


gymnasium.register("WalkingAnt-v0", cast(Any, WalkingAnt), max_episode_steps=EPISODE_STEPS)
