"""Classic control in compiled code: start states from NumPy's own bit stream, steps, observations.

A start equals gymnasium's to the last bit: NumPy's `SeedSequence` and PCG64 (O'Neill 2014) are
computed here. A step follows gymnasium 1.4 operation by operation, in its precisions; its sines
come from `sincos` or the C library instead of NumPy's vector library, which leaves a relative
difference of up to 1e-14 a step; its `powf` one of up to 3e-10 in the pendulum's reward. The
cart-pole swing-up (`esengine.environments.cartpole_swing_up`) and the cart-pole without an end
(`esengine.environments.cartpole_fixed_horizon`) are our own, made of the same parts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel

(
    CARTPOLE,
    PENDULUM,
    ACROBOT,
    MOUNTAIN_CAR,
    MOUNTAIN_CAR_CONTINUOUS,
    CARTPOLE_SWING_UP,
    FIXED_HORIZON_CARTPOLE,
) = range(7)


class ClassicTask(NamedTuple):
    """A row of `TASKS`.

    Attributes:
        number: of the task in kernels.
        state_size: how many of the four numbers of a kernel's state it uses.
        constant: attribute of the environment that kernels take as their constant; empty for none.
    """

    number: int
    state_size: int
    constant: str = ""


_GYMNASIUM = "gymnasium.envs.classic_control"
TASKS = {
    f"{_GYMNASIUM}.cartpole:CartPoleEnv": ClassicTask(CARTPOLE, 4),
    f"{_GYMNASIUM}.pendulum:PendulumEnv": ClassicTask(PENDULUM, 2, "g"),
    f"{_GYMNASIUM}.acrobot:AcrobotEnv": ClassicTask(ACROBOT, 4),
    f"{_GYMNASIUM}.mountain_car:MountainCarEnv": ClassicTask(MOUNTAIN_CAR, 2, "goal_velocity"),
    f"{_GYMNASIUM}.continuous_mountain_car:Continuous_MountainCarEnv": ClassicTask(
        MOUNTAIN_CAR_CONTINUOUS, 2, "goal_velocity"
    ),
    "esengine.environments.cartpole_swing_up:CartPoleSwingUp": ClassicTask(CARTPOLE_SWING_UP, 4),
    "esengine.environments.cartpole_fixed_horizon:FixedHorizonCartPole": ClassicTask(
        FIXED_HORIZON_CARTPOLE, 4
    ),
}
"""The environments that these kernels compute, by their class."""

_U32, _U64 = np.uint32, np.uint64
_PCG_HIGH, _PCG_LOW = _U64(2549297995355413924), _U64(4865540595714422341)


@kernel
def _hash_word(
    value: np.uint32, constant: np.uint32, multiplier: np.uint32
) -> tuple[np.uint32, np.uint32]:
    value = _U32(value ^ constant)
    constant = _U32(constant * multiplier)
    value = _U32(value * constant)
    return _U32(value ^ (value >> _U32(16))), constant


@kernel
def _seed_words(seed: np.uint64) -> NDArray[np.uint64]:
    """np.random.SeedSequence(seed).generate_state(4, np.uint64)."""
    pool = np.zeros(4, np.uint32)
    constant = _U32(0x43B0D7E5)
    for i in range(4):
        word = _U32((seed >> _U64(32 * i)) & _U64(0xFFFFFFFF)) if i < 2 else _U32(0)
        pool[i], constant = _hash_word(word, constant, _U32(0x931E8875))
    for source in range(4):
        for target in range(4):
            if source != target:
                hashed, constant = _hash_word(pool[source], constant, _U32(0x931E8875))
                mixed = _U32(
                    _U32(_U32(0xCA01F9DD) * pool[target]) - _U32(_U32(0x4973F715) * hashed)
                )
                pool[target] = _U32(mixed ^ (mixed >> _U32(16)))
    words = np.empty(4, np.uint64)
    constant = _U32(0x8B51F9DD)

    for i in range(4):
        low, constant = _hash_word(pool[(2 * i) % 4], constant, _U32(0x58F38DED))
        high, constant = _hash_word(pool[(2 * i + 1) % 4], constant, _U32(0x58F38DED))
        words[i] = _U64(low) | (_U64(high) << _U64(32))

    return words


@kernel
def _multiply_high(a: np.uint64, b: np.uint64) -> np.uint64:
    """Upper 64 bits of the product."""
    mask = _U64(0xFFFFFFFF)
    a_low, a_high, b_low, b_high = a & mask, a >> _U64(32), b & mask, b >> _U64(32)
    cross = a_high * b_low + ((a_low * b_low) >> _U64(32))
    lower = a_low * b_high + (cross & mask)
    return a_high * b_high + (cross >> _U64(32)) + (lower >> _U64(32))


@kernel
def _advance(
    high: np.uint64, low: np.uint64, inc_high: np.uint64, inc_low: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """Take one step of the 128-bit linear congruential generator."""
    new_low = low * _PCG_LOW
    new_high = _multiply_high(low, _PCG_LOW) + high * _PCG_LOW + low * _PCG_HIGH
    total = new_low + inc_low
    return new_high + inc_high + (_U64(1) if total < new_low else _U64(0)), total


@kernel
def uniforms(seed: np.uint64, out: NDArray[np.float64]) -> None:
    """np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed))).random(out.size), bit for
    bit.
    """
    words = _seed_words(seed)
    inc_high = (words[2] << _U64(1)) | (words[3] >> _U64(63))
    inc_low = (words[3] << _U64(1)) | _U64(1)
    high, low = _advance(_U64(0), _U64(0), inc_high, inc_low)
    total = low + words[1]
    high, low = high + words[0] + (_U64(1) if total < low else _U64(0)), total
    high, low = _advance(high, low, inc_high, inc_low)

    for k in range(out.size):
        high, low = _advance(high, low, inc_high, inc_low)
        value, rotation = high ^ low, high >> _U64(58)
        value = (value >> rotation) | (value << ((_U64(64) - rotation) & _U64(63)))
        out[k] = (value >> _U64(11)) * (1.0 / 9007199254740992.0)


@kernel(inline="always")
def sincos(x: float) -> tuple[float, float]:
    """Sine and cosine to 2e-16 for |x| below a million, without branches or calls, so that loops
    over lanes are vectorised.

    Reduction by multiples of pi / 2 in two parts (Cody and Waite 1980), then the polynomials of
    fdlibm.
    """
    turns = np.floor(x * 0.6366197723675814 + 0.5)
    r = (x - turns * 1.57079632673412561417) - turns * 6.07710050650619224932e-11
    z = r * r
    p = 2.75573137070700676789e-06 + z * (
        -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10
    )
    p = -1.66666666666666324348e-01 + z * (
        8.33333333332248946124e-03 + z * (-1.98412698298579493134e-04 + z * p)
    )
    q = -2.75573143513906633035e-07 + z * (
        2.08757232129817482790e-09 + z * -1.13596475577881948265e-11
    )
    q = 4.16666666666666019037e-02 + z * (
        -1.38888888888741095749e-03 + z * (2.48015872894767294178e-05 + z * q)
    )
    sine, half = r + r * z * p, 0.5 * z
    rest = 1.0 - half
    cosine = rest + (((1.0 - rest) - half) + z * z * q)
    quadrant = turns - 4.0 * np.floor(0.25 * turns)
    odd = quadrant == 1.0 or quadrant == 3.0
    along, across = (cosine, sine) if odd else (sine, cosine)

    return (-along if quadrant >= 2.0 else along), (
        -across if quadrant == 1.0 or quadrant == 2.0 else across
    )


@kernel
def reset(task: int, seed: np.uint64, state: NDArray[np.float64]) -> None:
    """Write the state after the task's ``reset(seed=seed)`` into ``state``, (4,) float64."""
    uniforms(seed, state)
    if task in (CARTPOLE, CARTPOLE_SWING_UP, FIXED_HORIZON_CARTPOLE):
        for k in range(4):
            state[k] = -0.05 + 0.1 * state[k]
        if task == CARTPOLE_SWING_UP:
            state[2] = np.pi + state[2]
    elif task == ACROBOT:
        for k in range(4):
            state[k] = np.float32(-0.1 + 0.2 * state[k])
    elif task == PENDULUM:
        state[0] = -np.pi + 2 * np.pi * state[0]
        state[1] = -1.0 + 2.0 * state[1]
    else:
        state[0] = -0.6 + (-0.4 - -0.6) * state[0]
        state[1] = 0.0


@kernel
def observe(task: int, state: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Write the observation of a state into ``out``, (obs_dim,) float32."""
    if task == PENDULUM:
        sine, cosine = sincos(state[0])
        out[0], out[1], out[2] = cosine, sine, state[1]
    elif task == ACROBOT:
        out[0], out[1] = math.cos(state[0]), math.sin(state[0])
        out[2], out[3] = math.cos(state[1]), math.sin(state[1])
        out[4], out[5] = state[2], state[3]
    elif task == CARTPOLE_SWING_UP:
        sine, cosine = sincos(state[2])
        out[0], out[1], out[2], out[3], out[4] = state[0], state[1], cosine, sine, state[3]
    else:
        for k in range(out.size):
            out[k] = state[k]


@kernel(inline="always")
def push_cart(
    x: float, x_dot: float, theta: float, theta_dot: float, force: float
) -> tuple[float, float, float, float]:
    """The cart and the pole after 0.02 s under a force."""
    total_mass, polemass_length = 0.1 + 1.0, 0.1 * 0.5
    sintheta, costheta = sincos(theta)
    temp = (force + polemass_length * (theta_dot * theta_dot) * sintheta) / total_mass
    thetaacc = (9.8 * sintheta - costheta * temp) / (
        0.5 * (4.0 / 3.0 - 0.1 * (costheta * costheta) / total_mass)
    )
    xacc = temp - polemass_length * thetaacc * costheta / total_mass
    x, x_dot = x + 0.02 * x_dot, x_dot + 0.02 * xacc
    return x, x_dot, theta + 0.02 * theta_dot, theta_dot + 0.02 * thetaacc


@kernel(inline="always")
def move_cartpole(
    x: float, x_dot: float, theta: float, theta_dot: float, action: float
) -> tuple[float, float, float, float, bool]:
    """The cart and the pole after one step, and whether they have left their limits."""
    force = 10.0 if action == 1.0 else -10.0
    x, x_dot, theta, theta_dot = push_cart(x, x_dot, theta, theta_dot, force)
    limit = 12 * 2 * math.pi / 360
    return x, x_dot, theta, theta_dot, abs(x) > 2.4 or abs(theta) > limit


@kernel(inline="always")
def move_swing_up(
    x: float, x_dot: float, theta: float, theta_dot: float, action: float
) -> tuple[float, float, float, float, float, bool]:
    """The cart and the pole after one step of the swing-up, the reward, and whether the cart has
    left its track.
    """
    force = 10.0 * np.float64(min(max(np.float32(action), np.float32(-1.0)), np.float32(1.0)))
    x, x_dot, theta, theta_dot = push_cart(x, x_dot, theta, theta_dot, force)
    upright = 0.5 * (1.0 + sincos(theta)[1])
    off = abs(x) > 2.4
    return (
        x,
        x_dot,
        theta,
        theta_dot,
        (0.0 if off else upright * sincos(x * (math.pi / 4.8))[1]),
        off,
    )


@kernel(inline="always")
def move_pendulum(
    theta: float, theta_dot: float, action: float, gravity: float
) -> tuple[float, float, float]:
    """The pendulum after one step, and the reward."""
    u = min(max(np.float32(action), np.float32(-2.0)), np.float32(2.0))
    shifted = theta + np.pi
    angle = (shifted - 2 * np.pi * np.floor(shifted / (2 * np.pi))) - np.pi
    cost = angle * angle + 0.1 * (theta_dot * theta_dot) + np.float64(np.float32(0.001) * (u * u))
    torque = np.float64(np.float32(3.0) * u)
    theta_dot = theta_dot + (3 * gravity / 2.0 * sincos(theta)[0] + torque) * 0.05
    theta_dot = min(max(theta_dot, -8.0), 8.0)
    return theta + theta_dot * 0.05, theta_dot, -cost


@kernel
def _acrobot_rates(s: NDArray[np.float64], torque: float, out: NDArray[np.float64]) -> None:
    """The book's equations of motion for unit masses and lengths."""
    cos2, sin2 = math.cos(s[1]), math.sin(s[1])
    d1 = 0.25 + (1.25 + cos2) + 1.0 + 1.0
    d2 = (0.25 + 0.5 * cos2) + 1.0
    phi2 = 0.5 * 9.8 * math.cos(s[0] + s[1] - math.pi / 2.0)
    phi1 = (
        -0.5 * (s[3] * s[3]) * sin2
        - s[3] * s[2] * sin2
        + 1.5 * 9.8 * math.cos(s[0] - math.pi / 2)
        + phi2
    )
    numerator = torque + d2 / d1 * phi1 - 0.5 * (s[2] * s[2]) * sin2 - phi2
    acceleration2 = numerator / (0.25 + 1.0 - d2 * d2 / d1)
    out[0], out[1] = s[2], s[3]
    out[2], out[3] = -(d2 * acceleration2 + phi1) / d1, acceleration2


@kernel
def _step_acrobot(state: NDArray[np.float64], action: float) -> tuple[float, bool]:
    """One Runge-Kutta step of 0.2 s."""
    torque = action - 1.0
    k1, k2, k3, k4, s = np.empty(4), np.empty(4), np.empty(4), np.empty(4), np.empty(4)
    _acrobot_rates(state, torque, k1)
    for before, after, duration in ((k1, k2, 0.1), (k2, k3, 0.1), (k3, k4, 0.2)):
        for k in range(4):
            s[k] = state[k] + duration * before[k]
        _acrobot_rates(s, torque, after)

    for k in range(4):
        state[k] = state[k] + 0.2 / 6.0 * (k1[k] + 2 * k2[k] + 2 * k3[k] + k4[k])
    for k in range(2):
        while state[k] > math.pi:
            state[k] -= 2 * math.pi
        while state[k] < -math.pi:
            state[k] += 2 * math.pi
        limit = (4 if k == 0 else 9) * math.pi
        state[2 + k] = min(max(state[2 + k], -limit), limit)
    terminated = -math.cos(state[0]) - math.cos(state[1] + state[0]) > 1.0

    return (0.0 if terminated else -1.0), terminated


@kernel
def _step_mountain_car(
    state: NDArray[np.float64], action: float, goal_velocity: float
) -> tuple[float, bool]:
    velocity = state[1] + ((action - 1.0) * 0.001 + math.cos(3 * state[0]) * -0.0025)
    velocity = min(max(velocity, -0.07), 0.07)
    position = min(max(state[0] + velocity, -1.2), 0.6)
    if position == -1.2 and velocity < 0:
        velocity = 0.0
    state[0], state[1] = position, velocity
    return -1.0, bool(position >= 0.5 and velocity >= goal_velocity)


@kernel
def _step_mountain_car_continuous(
    state: NDArray[np.float64], action: float, goal_velocity: float, first: bool
) -> tuple[float, bool]:
    """The start state is float64 in gymnasium, every later one float32."""
    f = np.float32
    force = min(max(f(action), f(-1.0)), f(1.0))
    if first:
        velocity64 = state[1] + np.float64(force * f(0.0015) - f(0.0025 * math.cos(3 * state[0])))
        position, velocity = f(state[0] + velocity64), f(velocity64)
    else:
        cosine = math.cos(np.float64(f(3.0) * f(state[0])))
        velocity = f(state[1]) + (force * f(0.0015) - f(0.0025 * cosine))
        velocity = min(max(velocity, f(-0.07)), f(0.07))
        position = min(max(f(state[0]) + velocity, f(-1.2)), f(0.6))
        if position == f(-1.2) and velocity < 0:
            velocity = f(0.0)
    state[0], state[1] = position, velocity
    terminated = bool(position >= f(0.45) and velocity >= f(goal_velocity))

    return (100.0 if terminated else 0.0) - np.float64(f(action)) ** 2 * 0.1, terminated


@kernel
def step(
    task: int, state: NDArray[np.float64], action: float, constant: float, first: bool
) -> tuple[float, bool]:
    """Advance ``state`` in place; returns reward and termination.

    Args:
        task: one of the module's task numbers.
        state: (4,) float64.
        action: index of the choice, or the force or torque.
        constant: the pendulum's gravity, or the mountain car's goal velocity.
        first: whether this is the episode's first step.
    """
    if task in (CARTPOLE, FIXED_HORIZON_CARTPOLE):
        state[0], state[1], state[2], state[3], ended = move_cartpole(
            state[0], state[1], state[2], state[3], action
        )
        if task == CARTPOLE:
            return 1.0, ended
        return (0.0 if ended else 1.0), False
    if task == PENDULUM:
        state[0], state[1], reward = move_pendulum(state[0], state[1], action, constant)
        return reward, False
    if task == CARTPOLE_SWING_UP:
        state[0], state[1], state[2], state[3], reward, ended = move_swing_up(
            state[0], state[1], state[2], state[3], action
        )
        return reward, ended
    if task == ACROBOT:
        return _step_acrobot(state, action)
    if task == MOUNTAIN_CAR:
        return _step_mountain_car(state, action, constant)

    return _step_mountain_car_continuous(state, action, constant, first)
