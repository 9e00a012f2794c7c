"""Gymnasium's MuJoCo tasks (v5) in compiled code: physics, observation and reward without a step in
Python.

MuJoCo's own ``mj_step`` is called from compiled code on the model and the data that a gymnasium
environment holds, so the physics are gymnasium's to the last bit; resets stay gymnasium's own.
Observations and rewards follow gymnasium 1.4, each sum in NumPy's order and precision (an action's
cost is summed in float32, as there).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.compiled.addresses import call_at

(
    HALF_CHEETAH,
    HOPPER,
    WALKER2D,
    SWIMMER,
    ANT,
    HUMANOID,
    INVERTED_PENDULUM,
    INVERTED_DOUBLE_PENDULUM,
    REACHER,
    PUSHER,
) = range(10)


class MujocoTask(NamedTuple):
    """A row of `TASKS`.

    Attributes:
        number: of the task in kernels.
        bodies: names of up to three bodies whose ids kernels take; a name that begins with an
            underscore is an attribute of the environment that holds it.
    """

    number: int
    bodies: tuple[str, ...] = ()


_GYMNASIUM = "gymnasium.envs.mujoco"
TASKS = {
    f"{_GYMNASIUM}.half_cheetah_v5:HalfCheetahEnv": MujocoTask(HALF_CHEETAH),
    f"{_GYMNASIUM}.hopper_v5:HopperEnv": MujocoTask(HOPPER),
    f"{_GYMNASIUM}.walker2d_v5:Walker2dEnv": MujocoTask(WALKER2D),
    f"{_GYMNASIUM}.swimmer_v5:SwimmerEnv": MujocoTask(SWIMMER),
    f"{_GYMNASIUM}.ant_v5:AntEnv": MujocoTask(ANT, ("_main_body",)),
    f"{_GYMNASIUM}.humanoid_v5:HumanoidEnv": MujocoTask(HUMANOID),
    f"{_GYMNASIUM}.inverted_pendulum_v5:InvertedPendulumEnv": MujocoTask(INVERTED_PENDULUM),
    f"{_GYMNASIUM}.inverted_double_pendulum_v5:InvertedDoublePendulumEnv": MujocoTask(
        INVERTED_DOUBLE_PENDULUM
    ),
    f"{_GYMNASIUM}.reacher_v5:ReacherEnv": MujocoTask(REACHER, ("fingertip", "target")),
    f"{_GYMNASIUM}.pusher_v5:PusherEnv": MujocoTask(PUSHER, ("tips_arm", "object", "goal")),
}
"""The environments that these kernels compute, by their class."""

DATA_FIELDS = (
    "qpos",
    "qvel",
    "ctrl",
    "xpos",
    "xipos",
    "site_xpos",
    "cinert",
    "cvel",
    "qfrc_actuator",
    "qfrc_constraint",
    "cfrc_ext",
)
"""Arrays of ``mjData`` that observations and rewards read, in the order that the kernels take them.
"""

NUMBERS = (
    "dt",
    "_forward_reward_weight",
    "_ctrl_cost_weight",
    "_contact_cost_weight",
    "_healthy_reward",
    "_terminate_when_unhealthy",
    "_reward_dist_weight",
    "_reward_control_weight",
    "_reward_near_weight",
)
"""Attributes of an environment that kernels take as numbers, in this order; 0 where it has none."""

RANGES = (
    "_healthy_z_range",
    "_healthy_angle_range",
    "_healthy_state_range",
    "_contact_force_range",
    "_contact_cost_range",
)
"""Attributes that kernels take as a lower and an upper bound, after `NUMBERS`."""

_DT, _FORWARD, _CTRL, _CONTACT, _HEALTHY, _TERMINATES, _DIST, _CONTROL, _NEAR = range(9)
_Z_LOW, _Z_HIGH, _ANGLE_LOW, _ANGLE_HIGH, _STATE_LOW, _STATE_HIGH = range(9, 15)
_FORCE_LOW, _FORCE_HIGH, _COST_LOW, _COST_HIGH = range(15, 19)


@kernel
def _sum_of_squares(values: NDArray[np.floating]) -> np.floating:
    """np.sum(np.square(values)) in NumPy's pairwise order (blocks of up to 128 elements), in the
    precision of ``values``.
    """
    zero = values[0] - values[0]
    n = values.size
    total = zero
    if n < 8:
        for k in range(n):
            total += values[k] * values[k]
        return total
    r0, r1, r2, r3 = values[0] ** 2, values[1] ** 2, values[2] ** 2, values[3] ** 2
    r4, r5, r6, r7 = values[4] ** 2, values[5] ** 2, values[6] ** 2, values[7] ** 2
    grouped = n - n % 8

    for k in range(8, grouped, 8):
        r0 += values[k] * values[k]
        r1 += values[k + 1] * values[k + 1]
        r2 += values[k + 2] * values[k + 2]
        r3 += values[k + 3] * values[k + 3]
        r4 += values[k + 4] * values[k + 4]
        r5 += values[k + 5] * values[k + 5]
        r6 += values[k + 6] * values[k + 6]
        r7 += values[k + 7] * values[k + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for k in range(grouped, n):
        total += values[k] * values[k]

    return total


@kernel
def _append(out: NDArray[np.float64], offset: int, values: NDArray[np.float64]) -> int:
    for k in range(values.size):
        out[offset + k] = values[k]
    return offset + values.size


@kernel
def _append_clipped(
    out: NDArray[np.float64], offset: int, values: NDArray[np.float64], low: float, high: float
) -> int:
    for k in range(values.size):
        out[offset + k] = min(max(values[k], low), high)
    return offset + values.size


@kernel
def observe(
    task: int,
    data: Any,
    constants: NDArray[np.float64],
    bodies: tuple[int, int, int],
    out: NDArray[np.float64],
) -> None:
    """Write the observation of the current state, as the task's ``_get_obs`` gives it, into
    ``out``.

    Args:
        task: one of the module's task numbers.
        data: the arrays of `DATA_FIELDS`.
        constants: the numbers of `NUMBERS` and `RANGES`.
        bodies: ids of the bodies of the task's row in `TASKS`.
        out: (obs_dim,) float64.
    """
    qpos, qvel, _, xpos, _, _, cinert, cvel, qfrc_actuator, qfrc_constraint, cfrc_ext = data
    if task == INVERTED_DOUBLE_PENDULUM:
        out[0] = qpos[0]
        out[1], out[2] = np.sin(qpos[1]), np.sin(qpos[2])
        out[3], out[4] = np.cos(qpos[1]), np.cos(qpos[2])
        offset = _append_clipped(out, 5, qvel, -10.0, 10.0)
        _append_clipped(out, offset, qfrc_constraint[:1], -10.0, 10.0)
    elif task == PUSHER:
        offset = _append(out, 0, qpos[:7])
        offset = _append(out, offset, qvel[:7])
        for body in bodies:
            offset = _append(out, offset, xpos[body])
    elif task == REACHER:
        fingertip, target = bodies[0], bodies[1]
        out[0], out[1] = np.cos(qpos[0]), np.cos(qpos[1])
        out[2], out[3] = np.sin(qpos[0]), np.sin(qpos[1])
        offset = _append(out, 4, qpos[2:])
        offset = _append(out, offset, qvel[:2])
        out[offset] = xpos[fingertip, 0] - xpos[target, 0]
        out[offset + 1] = xpos[fingertip, 1] - xpos[target, 1]
    else:
        hidden = 2 if task in (SWIMMER, ANT, HUMANOID) else 0 if task == INVERTED_PENDULUM else 1
        offset = _append(out, 0, qpos[hidden:])  # without the place on the ground
        if task in (HOPPER, WALKER2D):
            offset = _append_clipped(out, offset, qvel, -10.0, 10.0)
        else:
            offset = _append(out, offset, qvel)
        if task == ANT:
            forces = cfrc_ext[1:].ravel()
            _append_clipped(out, offset, forces, constants[_FORCE_LOW], constants[_FORCE_HIGH])
        elif task == HUMANOID:
            offset = _append(out, offset, cinert[1:].ravel())
            offset = _append(out, offset, cvel[1:].ravel())
            offset = _append(out, offset, qfrc_actuator[6:])
            _append(out, offset, cfrc_ext[1:].ravel())


@kernel
def place(
    task: int, data: Any, body_mass: NDArray[np.float64], bodies: tuple[int, int, int]
) -> float:
    """The forward coordinate whose speed the task rewards; 0 where it rewards none."""
    qpos, _, _, xpos, xipos, _, _, _, _, _, _ = data
    if task in (HALF_CHEETAH, HOPPER, WALKER2D, SWIMMER):
        return qpos[0]
    if task == ANT:
        return xpos[bodies[0], 0]
    if task == HUMANOID:
        moment = 0.0
        for body in range(body_mass.size):
            moment += body_mass[body] * xipos[body, 0]
        return moment / np.sum(body_mass)
    return 0.0


@kernel
def _is_healthy(
    task: int, qpos: NDArray[np.float64], qvel: NDArray[np.float64], c: NDArray[np.float64]
) -> bool:
    if task == HOPPER:
        for k in range(2, qpos.size):
            if not c[_STATE_LOW] < qpos[k] < c[_STATE_HIGH]:
                return False
        for k in range(qvel.size):
            if not c[_STATE_LOW] < qvel[k] < c[_STATE_HIGH]:
                return False
        return c[_Z_LOW] < qpos[1] < c[_Z_HIGH] and c[_ANGLE_LOW] < qpos[2] < c[_ANGLE_HIGH]
    if task == WALKER2D:
        return c[_Z_LOW] < qpos[1] < c[_Z_HIGH] and c[_ANGLE_LOW] < qpos[2] < c[_ANGLE_HIGH]
    if task == ANT:
        finite = np.isfinite(qpos).all() and np.isfinite(qvel).all()
        return bool(finite and c[_Z_LOW] <= qpos[2] <= c[_Z_HIGH])

    return bool(c[_Z_LOW] < qpos[2] < c[_Z_HIGH])


@kernel
def _distance(xpos: NDArray[np.float64], body: int, other: int) -> float:
    """Between two bodies."""
    x = xpos[body, 0] - xpos[other, 0]
    y = xpos[body, 1] - xpos[other, 1]
    z = xpos[body, 2] - xpos[other, 2]
    return np.sqrt(x * x + y * y + z * z)


@kernel
def reward(
    task: int,
    data: Any,
    c: NDArray[np.float64],
    action: NDArray[np.float32],
    speed: float,
    bodies: tuple[int, int, int],
) -> tuple[float, bool]:
    """Reward and termination of the step that led to the current state."""
    qpos, qvel, ctrl, xpos, _, site_xpos, _, _, _, _, cfrc_ext = data
    if task == INVERTED_PENDULUM:
        finite = np.isfinite(qpos).all() and np.isfinite(qvel).all()
        over = (not finite) or abs(qpos[1]) > 0.2
        return (0.0 if over else 1.0), over
    if task == INVERTED_DOUBLE_PENDULUM:
        x, y = site_xpos[0, 0], site_xpos[0, 2]
        over = y <= 1
        distance = 0.01 * x**2 + (y - 2) ** 2
        velocity = 1e-3 * qvel[1] ** 2 + 5e-3 * qvel[2] ** 2
        return (0.0 if over else c[_HEALTHY]) - distance - velocity, over
    if task in (REACHER, PUSHER):
        effort = np.float64(-_sum_of_squares(action) * np.float32(c[_CONTROL]))
        if task == REACHER:
            return -_distance(xpos, bodies[0], bodies[1]) * c[_DIST] + effort, False
        near = -_distance(xpos, bodies[1], bodies[0]) * c[_NEAR]
        return -_distance(xpos, bodies[1], bodies[2]) * c[_DIST] + effort + near, False
    if task == HUMANOID:
        cost = c[_CTRL] * _sum_of_squares(ctrl)
        contact = c[_CONTACT] * _sum_of_squares(cfrc_ext.ravel())
        cost += min(max(contact, c[_COST_LOW]), c[_COST_HIGH])
    else:
        cost = np.float64(np.float32(c[_CTRL]) * _sum_of_squares(action))
    if task in (HALF_CHEETAH, SWIMMER):
        return c[_FORWARD] * speed - cost, False
    if task == ANT:
        forces = np.minimum(np.maximum(cfrc_ext.ravel(), c[_FORCE_LOW]), c[_FORCE_HIGH])
        cost += c[_CONTACT] * _sum_of_squares(forces)
    healthy = _is_healthy(task, qpos, qvel, c)
    survival = c[_HEALTHY] if healthy else 0.0

    return (c[_FORWARD] * speed + survival) - cost, (not healthy) and c[_TERMINATES] != 0.0


@kernel
def step(
    task: int,
    functions: tuple[int, int],
    handles: tuple[int, int],
    frame_skip: int,
    data: Any,
    body_mass: NDArray[np.float64],
    bodies: tuple[int, int, int],
    constants: NDArray[np.float64],
    action: NDArray[np.float32],
) -> tuple[float, bool]:
    """Apply an action for ``frame_skip`` physics steps; returns reward and termination.

    Args:
        task: one of the module's task numbers.
        functions: addresses of mj_step and mj_rnePostConstraint.
        handles: addresses of the mjModel and the mjData.
        frame_skip: physics steps per action.
        data: the arrays of `DATA_FIELDS`.
        body_mass: masses of the bodies.
        bodies: ids of the bodies of the task's row in `TASKS`.
        constants: the numbers of `NUMBERS` and `RANGES`.
        action: (act_dim,) float32, as gymnasium would get it.
    """
    ctrl = data[2]
    before = place(task, data, body_mass, bodies)
    for k in range(action.size):
        ctrl[k] = action[k]
    for _ in range(frame_skip):
        call_at(functions[0], (handles[0], handles[1]))
    if task in (ANT, HUMANOID):  # only their contact forces need it
        call_at(functions[1], (handles[0], handles[1]))
    speed = (place(task, data, body_mass, bodies) - before) / constants[_DT]
    return reward(task, data, constants, action, speed, bodies)
