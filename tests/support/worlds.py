"""Small environments and objectives that the tests name as ``worlds:...``."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Box = spaces.Box


class Target(gymnasium.Env[Any, Any]):
    """Rewards actions by how near they are to the observation; ten steps."""

    def __init__(
        self, observation_space: spaces.Space[Any], action_space: spaces.Space[Any]
    ) -> None:
        self.observation_space, self.action_space = observation_space, action_space
        self._steps = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self._steps = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action), (self.action_space, action)
        self._steps += 1
        value = float(np.sum(np.asarray(action, float)))
        return self.observation_space.sample(), -abs(value - 1.0), False, self._steps == 10, {}


class Forgetful(Target):
    """An environment that raises, sometimes or always, sleeps, hangs in C code, or gives a reward
    or an observation that is not finite, as its ``fault`` or the variable FAULT says.
    """

    def __init__(self, fault: str | None = None) -> None:
        super().__init__(Box(-1, 1, (3,)), spaces.Discrete(2))
        self.fault = fault or os.environ.get("FAULT", "raise")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        result = super().reset(seed=seed, options=options)
        self.doomed = self.np_random.random() < 0.3
        return result

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        kind, _, what = self.fault.partition("-")
        now = kind != "sometimes" or (self.doomed and self._steps == 4)
        what = what or ("raise" if kind == "sometimes" else kind)
        if now and what == "raise":
            raise ZeroDivisionError("the simulator diverged")
        if now and what == "hang":
            ctypes.PyDLL(None).sleep(1000)
        if what in ("sleep", "brief"):
            time.sleep(0.05 if what == "sleep" else 0.001)
        observation, reward, terminated, truncated, info = super().step(action)
        if now and what == "short":
            observation = observation[:2]
        if now and what == "dropout":
            observation[1] = np.nan
        return (
            observation,
            float("nan") if now and what == "nan" else reward,
            terminated,
            truncated,
            info,
        )


class Remembering(Target):
    """An environment whose reset does not forget: rewards drift with every episode it has lived
    through.
    """

    def __init__(self) -> None:
        super().__init__(Box(-1, 1, (3,)), spaces.Discrete(2))
        self.episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.episodes += 1
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward + 0.01 * self.episodes, terminated, truncated, info


class Short(Target):
    """Gives fewer numbers than it declares."""

    def __init__(self) -> None:
        super().__init__(Box(-1, 1, (200,)), spaces.Discrete(2))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        observation, info = super().reset(seed=seed, options=options)
        return observation[:3], info


_THREE = Box(-1, 1, (3,), np.float32)
_SPACES: dict[str, tuple[spaces.Space[Any], spaces.Space[Any]]] = {
    "TestBox-v0": (_THREE, Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32))),
    "TestUnbounded-v0": (_THREE, Box(-np.inf, np.inf, (2,), np.float64)),
    "TestDiscrete-v0": (_THREE, spaces.Discrete(3, start=-1)),
    "TestMultiDiscrete-v0": (_THREE, spaces.MultiDiscrete([2, 4])),
    "TestMultiBinary-v0": (_THREE, spaces.MultiBinary(3)),
    "TestMatrix-v0": (Box(0, 255, (2, 3), np.uint8), Box(-1, 1, (2, 2), np.float32)),
    "TestDict-v0": (spaces.Dict({"a": _THREE, "b": spaces.Discrete(4)}), spaces.Discrete(2)),
    "TestTuple-v0": (spaces.Tuple((_THREE, spaces.MultiBinary(2))), spaces.Discrete(2)),
    "TestSequence-v0": (
        spaces.Dict({"place": _THREE, "steps": spaces.Sequence(_THREE)}),
        spaces.Discrete(2),
    ),
    "TestText-v0": (_THREE, spaces.Text(5)),
}
SPACE_IDS = [name for name in _SPACES if name not in ("TestSequence-v0", "TestText-v0")]

for _name, (_observation, _action) in _SPACES.items():
    gymnasium.register(
        _name,
        cast(Any, Target),
        kwargs={"observation_space": _observation, "action_space": _action},
    )
gymnasium.register("TestShort-v0", cast(Any, Short))
gymnasium.register("TestForgetful-v0", cast(Any, Forgetful))
gymnasium.register("TestRemembering-v0", cast(Any, Remembering))


def sphere(x: NDArray[np.float64]) -> float:
    """Minimum 0 at 1, 1, ..."""
    return float(np.sum((x - 1) ** 2))


def ellipsoid(x: NDArray[np.float64]) -> float:
    """Condition 10^6, minimum 0 away from the start."""
    scales = 10 ** (6 * np.arange(x.size) / (x.size - 1))
    return float(np.sum(scales * (x - np.linspace(-2, 2, x.size)) ** 2))


def linear(x: NDArray[np.float64]) -> float:
    """No minimum."""
    return float(x[0])


def brief_sphere(x: NDArray[np.float64]) -> float:
    """A sphere that takes 5 milliseconds."""
    time.sleep(0.005)
    return sphere(x)


def brief_kinds(x: NDArray[np.float64]) -> tuple[float, float, float]:
    """The same sphere, and two measures of its point."""
    return brief_sphere(x), float(x[0]), float(x[1] - x[2])


def slow_sphere(x: NDArray[np.float64]) -> float:
    """A sphere that takes 20 milliseconds."""
    time.sleep(0.02)
    return sphere(x)


def uneven_sphere(x: NDArray[np.float64]) -> float:
    """A sphere that takes 8 milliseconds on average, at random by the system's entropy."""
    time.sleep(random.SystemRandom().expovariate(125))
    return sphere(x)


def gated_sphere(x: NDArray[np.float64]) -> float:
    """A sphere whose members wait while more of them have begun than the file that GATE names
    allows.
    """
    gate = Path(os.environ["GATE"])
    begun = gate.with_suffix(".begun")
    with begun.open("ab") as file:
        file.write(b".")
    while begun.stat().st_size > int(gate.read_text() or 0):
        time.sleep(0.02)
    return sphere(x)


def failing(x: NDArray[np.float64]) -> float:
    """Raises for some members."""
    if x[0] > 0.3:
        raise ZeroDivisionError("the simulator diverged")
    return sphere(x)


def partly_nan(x: NDArray[np.float64]) -> float:
    """Not a number for some members."""
    return float("nan") if x[0] > 0.5 else sphere(x)


def exiting(x: NDArray[np.float64]) -> float:
    """Ends its process by `sys.exit`, as careless simulators do."""
    raise SystemExit(3)


def hanging(x: NDArray[np.float64]) -> float:
    """Hangs inside C code, without the interpreter, for some members."""
    if x[0] > 1.0:
        ctypes.PyDLL(None).sleep(1000)
    return sphere(x)


def crashing(x: NDArray[np.float64]) -> float:
    """Ends its process for some members, without a word."""
    if x[0] > 1.0:
        os._exit(3)
    return sphere(x)


def environment_of_rank(x: NDArray[np.float64]) -> float:
    """How many threads the rank may use, as a cost."""
    return float(os.environ["OMP_NUM_THREADS"])


def cores_of_rank(x: NDArray[np.float64]) -> float:
    """How many cores the rank is bound to, as a cost, and a thousand for each thread that it may
    use.
    """
    return len(os.sched_getaffinity(0)) + 1000 * environment_of_rank(x)


not_a_function = 3


def failing_or_sleeping(x: NDArray[np.float64]) -> float:
    """Raises for some members and sleeps for the others."""
    if x[0] > 0:
        raise ZeroDivisionError("the simulator diverged")
    time.sleep(600)
    return 0.0


def where_it_ended(env: Any, observation: NDArray[np.floating]) -> NDArray[np.float64]:
    """A behaviour: the first two numbers of the last observation, and of the state where there is
    one.
    """
    state = getattr(getattr(env, "data", None), "qpos", np.zeros(0))
    return np.concatenate([observation[:2], state[:1]])


def upright(observation: NDArray[np.floating]) -> int:
    """An expert of the two actions."""
    return int(observation[0] > 0)


def _refuse(number: int) -> None:
    """Have the system refuse so many births of replacements, as when it has too many processes."""
    start = subprocess.Popen
    left = [number]

    def popen(*arguments: Any, **settings: Any) -> subprocess.Popen[bytes]:
        if left[0] and "ESENGINE_LINK" in (settings.get("env") or {}):
            left[0] -= 1
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return start(*arguments, **settings)

    subprocess.Popen = popen  # type: ignore[assignment, misc]


if "ESENGINE_TEST_REFUSALS" in os.environ:
    _refuse(int(os.environ["ESENGINE_TEST_REFUSALS"]))


def unruly(x: NDArray[np.float64]) -> float:
    """Changes all of its process that Python lets a function change."""
    os.chdir(tempfile.gettempdir())
    os.umask(0o777)
    sys.setrecursionlimit(150)
    np.random.seed(1)  # noqa: NPY002
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    return float((x**2).sum())
