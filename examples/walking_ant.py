"""An ant that walks by a gait, and may have a leg that is switched off: ``esengine train map-elites
--env-id examples.walking_ant:WalkingAnt-v0 --policy linear``.
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

EPISODE_STEPS = 30  # of 0.1 s
_RHYTHM_HZ = 1.0
_FEET = ("left_ankle_geom", "right_ankle_geom", "third_ankle_geom", "fourth_ankle_geom")
_MOTORS = ((2, 3), (4, 5), (6, 7), (0, 1))  # hip and ankle of each leg
_STIFFNESS, _DAMPING, _LARGEST_TORQUE = 150.0, 15.0, 150.0  # of a motor, by Nm, rad and s


class WalkingAnt(AntEnv):
    """The ant of gymnasium with motors that hold angles. Its return is its mean speed along x in
    m/s.

    An action is the angle of each of the eight joints, from -1 to 1 within its range, and a motor
    drives the joint there. The observation is the sine and cosine of a rhythm and nothing else, so
    a linear policy is a gait of 24 parameters: how far, when and around which angle each joint
    swings. The ``info`` has the share of time that each foot has been on the ground, ``foot0`` to
    ``foot3``. Physics are coarse, so that an episode takes a few milliseconds.

    Args:
        broken_leg: the leg whose motors are off, 0 to 3; -1 for none.
        start_noise: how far positions and speeds at the start may be from those of standing still.
        render_mode: see gymnasium.
    """

    def __init__(
        self, broken_leg: int = -1, start_noise: float = 0.02, render_mode: str | None = None
    ) -> None:
        super().__init__(render_mode=render_mode, reset_noise_scale=start_noise)
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float64)
        options = self.model.opt
        options.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
        options.timestep, options.tolerance = 0.025, 1e-5
        self.frame_skip = 4
        self.metadata = {**self.metadata, "render_fps": round(1 / self.dt)}
        self._drive(broken_leg)
        self._feet = [self.model.geom(name).id for name in _FEET]

    def _drive(self, broken_leg: int) -> None:
        """Make motors that hold angles of those that exert a torque."""
        model = self.model
        low, high = model.jnt_range[model.actuator_trnid[:, 0]].T
        model.actuator_gear[:, 0] = 1.0
        model.actuator_gainprm[:, 0] = _STIFFNESS * (high - low) / 2
        model.actuator_biastype[:] = mujoco.mjtBias.mjBIAS_AFFINE
        model.actuator_biasprm[:, 0] = _STIFFNESS * (high + low) / 2
        model.actuator_biasprm[:, 1:3] = -_STIFFNESS, -_DAMPING
        model.actuator_forcelimited[:] = True
        model.actuator_forcerange[:] = -_LARGEST_TORQUE, _LARGEST_TORQUE
        if broken_leg >= 0:
            model.actuator_forcerange[list(_MOTORS[broken_leg])] = 0.0

    def reset_model(self) -> NDArray[np.float64]:
        cast(Any, super()).reset_model()  # without types in gymnasium
        self.steps = 0
        self._contacts = [0] * len(_FEET)
        return self.seen()

    def step(
        self, action: NDArray[np.floating]
    ) -> tuple[NDArray[np.float64], np.float64, bool, bool, dict[str, np.float64]]:
        before = self.data.qpos[0]
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, nstep=self.frame_skip)
        self.steps += 1
        touching = self.data.contact.geom.ravel().tolist()
        self._contacts = [
            count + (foot in touching)
            for count, foot in zip(self._contacts, self._feet, strict=True)
        ]
        metres = self.data.qpos[0] - before
        if self.render_mode == "human":
            cast(Any, self).render()
        shares = np.array(self._contacts) / self.steps
        info = {f"foot{leg}": share for leg, share in enumerate(shares)}
        speed = np.float64(metres / (self.dt * EPISODE_STEPS))
        return self.seen(), speed, False, False, info

    def seen(self) -> NDArray[np.float64]:
        """The sine and the cosine of the rhythm."""
        phase = 2 * math.pi * _RHYTHM_HZ * self.steps * self.dt
        return np.array([math.sin(phase), math.cos(phase)])


gymnasium.register("WalkingAnt-v0", cast(Any, WalkingAnt), max_episode_steps=EPISODE_STEPS)
