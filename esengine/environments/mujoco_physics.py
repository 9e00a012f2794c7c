"""Gymnasium's MuJoCo tasks (v5) as one compiled loop: policy, physics, observation and reward
without a step in Python.

MuJoCo's own ``mj_step`` is called from compiled code on the model and the data that a gymnasium
environment holds, so the physics are gymnasium's to the last bit; resets stay gymnasium's own.
Observations and rewards follow gymnasium 1.4, each sum in NumPy's order and precision (an action's
cost is summed in float32, as there).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from esengine.compiled import kernel

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
) = range(9)

CLASSES = {
    "HalfCheetahEnv": HALF_CHEETAH,
    "HopperEnv": HOPPER,
    "Walker2dEnv": WALKER2D,
    "SwimmerEnv": SWIMMER,
    "AntEnv": ANT,
    "HumanoidEnv": HUMANOID,
    "InvertedPendulumEnv": INVERTED_PENDULUM,
    "InvertedDoublePendulumEnv": INVERTED_DOUBLE_PENDULUM,
    "ReacherEnv": REACHER,
}

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

CONSTANTS = (
    "dt",
    "forward_reward_weight",
    "ctrl_cost_weight",
    "contact_cost_weight",
    "healthy_reward",
    "terminate_when_unhealthy",
    "healthy_z_low",
    "healthy_z_high",
    "healthy_angle_low",
    "healthy_angle_high",
    "healthy_state_low",
    "healthy_state_high",
    "contact_low",
    "contact_high",
    "reward_dist_weight",
    "reward_control_weight",
)
"""Numbers that an environment's arguments set, in the order that the kernels take them."""

(
    _DT,
    _FORWARD,
    _CTRL,
    _CONTACT,
    _HEALTHY,
    _TERMINATES,
    _Z_LOW,
    _Z_HIGH,
    _ANGLE_LOW,
    _ANGLE_HIGH,
) = range(10)
(_STATE_LOW, _STATE_HIGH, _CONTACT_LOW, _CONTACT_HIGH, _DIST_WEIGHT, _CONTROL_WEIGHT) = range(
    10, 16
)


@intrinsic
def _call_on_model_and_data(typing_context: Any, function: Any, model: Any, data: Any) -> Any:
    """Call ``void function(mjModel*, mjData*)`` at an address; an argument, so that compiled code
    can be cached.
    """
    signature = types.void(types.int64, types.int64, types.int64)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer])
        callee = builder.inttoptr(arguments[0], kind.as_pointer())
        builder.call(callee, [builder.inttoptr(argument, pointer) for argument in arguments[1:]])
        return cgutils.get_null_value(context.get_value_type(types.void))

    return signature, generate


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
    fingertip: int,
    target: int,
    out: NDArray[np.float64],
) -> None:
    """Write the observation of the current state, as the task's ``_get_obs`` gives it, into
    ``out``.

    Args:
        task: one of the module's task numbers.
        data: the arrays of `DATA_FIELDS`.
        constants: the numbers of `CONSTANTS`.
        fingertip, target: body ids of the reacher's two ends.
        out: (obs_dim,) float64.
    """
    qpos, qvel, _, xpos, _, _, cinert, cvel, qfrc_actuator, qfrc_constraint, cfrc_ext = data
    if task == HALF_CHEETAH:
        offset = _append(out, 0, qpos[1:])
        _append(out, offset, qvel)
    elif task in (HOPPER, WALKER2D):
        offset = _append(out, 0, qpos[1:])
        _append_clipped(out, offset, qvel, -10.0, 10.0)
    elif task == SWIMMER:
        offset = _append(out, 0, qpos[2:])
        _append(out, offset, qvel)
    elif task == ANT:
        offset = _append(out, 0, qpos[2:])
        offset = _append(out, offset, qvel)
        _append_clipped(
            out, offset, cfrc_ext[1:].ravel(), constants[_CONTACT_LOW], constants[_CONTACT_HIGH]
        )
    elif task == HUMANOID:
        offset = _append(out, 0, qpos[2:])
        offset = _append(out, offset, qvel)
        offset = _append(out, offset, cinert[1:].ravel())
        offset = _append(out, offset, cvel[1:].ravel())
        offset = _append(out, offset, qfrc_actuator[6:])
        _append(out, offset, cfrc_ext[1:].ravel())
    elif task == INVERTED_PENDULUM:
        offset = _append(out, 0, qpos)
        _append(out, offset, qvel)
    elif task == INVERTED_DOUBLE_PENDULUM:
        out[0] = qpos[0]
        out[1], out[2] = np.sin(qpos[1]), np.sin(qpos[2])
        out[3], out[4] = np.cos(qpos[1]), np.cos(qpos[2])
        offset = _append_clipped(out, 5, qvel, -10.0, 10.0)
        _append_clipped(out, offset, qfrc_constraint[:1], -10.0, 10.0)
    else:
        out[0], out[1] = np.cos(qpos[0]), np.cos(qpos[1])
        out[2], out[3] = np.sin(qpos[0]), np.sin(qpos[1])
        offset = _append(out, 4, qpos[2:])
        offset = _append(out, offset, qvel[:2])
        out[offset] = xpos[fingertip, 0] - xpos[target, 0]
        out[offset + 1] = xpos[fingertip, 1] - xpos[target, 1]


@kernel
def place(task: int, data: Any, body_mass: NDArray[np.float64], main_body: int) -> float:
    """The forward coordinate whose speed the task rewards; 0 where it rewards none."""
    qpos, _, _, xpos, xipos, _, _, _, _, _, _ = data
    if task in (HALF_CHEETAH, HOPPER, WALKER2D, SWIMMER):
        return qpos[0]
    if task == ANT:
        return xpos[main_body, 0]
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
def reward(
    task: int,
    data: Any,
    c: NDArray[np.float64],
    action: NDArray[np.float32],
    speed: float,
    fingertip: int,
    target: int,
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
    if task == REACHER:
        apart = xpos[fingertip] - xpos[target]
        distance = (
            -np.sqrt(apart[0] * apart[0] + apart[1] * apart[1] + apart[2] * apart[2])
            * c[_DIST_WEIGHT]
        )
        return distance + np.float64(
            -_sum_of_squares(action) * np.float32(c[_CONTROL_WEIGHT])
        ), False
    if task == HUMANOID:
        cost = c[_CTRL] * _sum_of_squares(ctrl)
        contact = c[_CONTACT] * _sum_of_squares(cfrc_ext.ravel())
        cost += min(max(contact, c[_CONTACT_LOW]), c[_CONTACT_HIGH])
    else:
        cost = np.float64(np.float32(c[_CTRL]) * _sum_of_squares(action))
    if task in (HALF_CHEETAH, SWIMMER):
        return c[_FORWARD] * speed - cost, False
    if task == ANT:
        forces = np.minimum(np.maximum(cfrc_ext.ravel(), c[_CONTACT_LOW]), c[_CONTACT_HIGH])
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
        frame_skip: physics steps an action.
        data: the arrays of `DATA_FIELDS`.
        body_mass: masses of the bodies.
        bodies: ids of the main body, the fingertip and the target; 0 where a task has none.
        constants: the numbers of `CONSTANTS`.
        action: (act_dim,) float32, as gymnasium would get it.
    """
    main_body, fingertip, target = bodies
    ctrl = data[2]
    before = place(task, data, body_mass, main_body)
    for k in range(action.size):
        ctrl[k] = action[k]
    for _ in range(frame_skip):
        _call_on_model_and_data(functions[0], handles[0], handles[1])
    if task in (ANT, HUMANOID):  # only their contact forces need it
        _call_on_model_and_data(functions[1], handles[0], handles[1])
    speed = (place(task, data, body_mass, main_body) - before) / constants[_DT]
    return reward(task, data, constants, action, speed, fingertip, target)
