"""The environments and functions of the cases, named as ``strange:...``. The variable STRANGE turns
single faults on.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.classic_control import acrobot
from numpy.typing import NDArray

STRANGE = os.environ.get("STRANGE", "")
COPY = int(os.environ.get("ESENGINE_WORKER", "0"))

if STRANGE == "numpy raises":
    np.seterr(all="raise")
if STRANGE == "warnings raise":
    warnings.simplefilter("error")
if STRANGE == "no licence for copy 2" and COPY == 2:
    raise OSError("no licence left")
if STRANGE == "another acrobot":
    acrobot.AcrobotEnv.book_or_nips = "nips"


class World(gymnasium.Env[Any, Any]):
    """Two numbers to see, one to act, fifteen steps; the others vary it."""

    observation_space: spaces.Space[Any] = spaces.Box(-9, 9, (2,), np.float32)
    action_space: spaces.Space[Any] = spaces.Box(-1, 1, (1,), np.float32)
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - gymnasium's

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        self.pushed = 0.0
        return self.look(), {}

    def look(self) -> Any:
        self.seen = self.np_random.normal(size=2).astype(np.float32)
        return self.seen.copy()

    def step(self, action: Any) -> Any:
        reward = -float((action[0] - np.tanh(self.seen[0])) ** 2)
        self.steps += 1
        self.pushed += float(action[0])
        return self.look(), reward, False, self.steps >= 15, {}

    def render(self) -> Any:
        return np.full((32, 32, 3), self.steps, np.uint8)


class Noted(World):
    """Notes in a file how often it was opened and closed."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        note("open")

    def close(self) -> None:
        note("close")


def note(what: str) -> None:
    with Path(os.environ["CASE_FOLDER"], "notes.txt").open("a") as file:
        file.write(f"{what} {os.getpid()}\n")


# Containment


class Tiny(World):
    """Sees numbers whose squares underflow and overflow in float32."""

    observation_space = spaces.Box(-1e30, 1e30, (2,), np.float32)

    def look(self) -> Any:
        return super().look() * np.array([1e-30, 1e20], np.float32)


class Long(World):
    """Ends after 3000 steps, which nobody is told."""

    def step(self, action: Any) -> Any:
        observation, reward, *_ = super().step(action)
        return observation, reward, False, self.steps >= 3000, {}


class Catching(Noted):
    """Catches whatever is raised in its steps, as bindings to simulators do."""

    def step(self, action: Any) -> Any:
        for _ in range(20):
            with suppress(BaseException):
                time.sleep(0.005)
        return super().step(action)


class Threaded(World):
    """Has a thread that keeps its process alive until close."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.ended = threading.Event()
        threading.Thread(target=self.ended.wait).start()

    def close(self) -> None:
        self.ended.set()


class Reseeding(World):
    """Seeds the generators that belong to nobody."""

    def step(self, action: Any) -> Any:
        if STRANGE == "reseeds":
            random.seed(0)
            np.random.seed(0)  # noqa: NPY002
        return super().step(action)


_BEHAVIOUR = np.zeros(2)


def one_behaviour(env: World, observation: NDArray[np.floating]) -> NDArray[np.float64]:
    """The same array again and again."""
    _BEHAVIOUR[:] = env.pushed, observation[0]
    return _BEHAVIOUR.copy() if STRANGE == "copies" else _BEHAVIOUR


_STARTED: list[subprocess.Popen[bytes]] = []


def leaving(x: NDArray[np.float64]) -> float:
    """Leaves a process with all its pipes."""
    if COPY and not _STARTED:
        _STARTED.append(subprocess.Popen(["sleep", "300"], start_new_session=True))
    return float((x**2).sum())


def closed_output(x: NDArray[np.float64]) -> float:
    """Leaves standard output as a file that is closed."""
    with open(os.devnull, "w") as file:
        sys.stdout = file
    return float((x**2).sum())


# Ranks


class Wider(World):
    """The second copy sees one number more."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        if COPY == 2:
            self.observation_space = spaces.Box(-9, 9, (3,), np.float32)

    def look(self) -> Any:
        self.seen = self.np_random.normal(size=self.observation_space.shape).astype(np.float32)
        return self.seen


class Unprintable(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise ValueError("no words")

    __repr__ = __str__


def unprintable(x: NDArray[np.float64]) -> float:
    if x[0] > 0:
        raise Unprintable
    return float((x**2).sum())


def interrupting(x: NDArray[np.float64]) -> float:
    if x[0] > 0:
        raise KeyboardInterrupt
    return float((x**2).sum())


def wordy(x: NDArray[np.float64]) -> float:
    if x[0] > 0:
        raise ValueError("x" * 30_000_000)
    return float((x**2).sum())


# Trials


class RewardText(World):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, str(reward), *rest


class MissingKey(World):
    observation_space = spaces.Dict(
        {"far": spaces.Box(-9, 9, (2,)), "near": spaces.Box(-9, 9, (1,))}
    )

    def look(self) -> Any:
        return {"far": super().look()}


class Beyond(World):
    """Counts its places from 1, and declares 0 to 3."""

    observation_space = spaces.Discrete(4)

    def look(self) -> Any:
        super().look()
        return 1 + int(self.np_random.integers(4))


class SmallSeeds(World):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None and seed >= 2**16:
            raise OverflowError("Python integer out of bounds for uint16")
        return super().reset(seed=seed)


class Counting(World):
    """Shares one count among all copies of a process."""

    count = 0

    def look(self) -> Any:
        Counting.count += 1
        return super().look() + np.float32(0.01 * Counting.count)


class Hashed(World):
    """Depends on the salt of Python's hashes."""

    def look(self) -> Any:
        return super().look() + np.float32(hash("corridor") % 1000)


class Noisy(World):
    """Draws from numpy.random in its rewards."""

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, reward + np.random.normal(), *rest  # noqa: NPY002


def nothing(x: NDArray[np.float64]) -> None:
    float((x**2).sum())


# Numbers that are not finite


class Rare(World):
    """One episode in seven has a fault at step 5."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        result = super().reset(seed=seed)
        self.is_faulty = self.np_random.random() < 0.15
        return result

    @property
    def fails_now(self) -> bool:
        return self.is_faulty and self.steps == 5


class Infinite(Rare):
    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        return observation + np.float32(np.inf if self.fails_now else 0), *rest


class BeyondFloat32(Rare):
    """Finite in float64, infinite in float32, within a dictionary."""

    observation_space = spaces.Dict({"far": spaces.Box(-np.inf, np.inf, (2,), np.float64)})

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        observation, info = super().reset(seed=seed)
        return {"far": observation.astype(float)}, info

    def step(self, action: Any) -> Any:
        observation, *rest = super().step(action)
        return {"far": observation * (1e300 if self.fails_now else 1.0)}, *rest


class NanReward(Rare):
    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, (np.nan if self.fails_now else reward), *rest


class Great(World):
    """Sees numbers that are finite in float32, other than their squares."""

    observation_space = spaces.Box(-3.4e38, 3.4e38, (2,), np.float32)

    def look(self) -> Any:
        return super().look() * np.float32(1e37)


def zero(observation: Any) -> NDArray[np.float32]:
    """An expert that does nothing."""
    return np.zeros(1, np.float32)


def nan_behaviour(env: World, observation: NDArray[np.floating]) -> list[float]:
    is_faulty = env.pushed and int(abs(env.pushed) * 1000) % 3 == 0
    return [np.nan if is_faulty else env.pushed, 1.0]


def minus_infinity(x: NDArray[np.float64]) -> float:
    return -np.inf if x[0] > 1 else float((x**2).sum())


# The fast path


def half_reward(**arguments: Any) -> gymnasium.Env[Any, Any]:
    env = gymnasium.make("Pendulum-v1", **arguments)
    return gymnasium.wrappers.TransformReward(env, lambda reward: 0.5 * float(reward))


def light(**arguments: Any) -> gymnasium.Env[Any, Any]:
    env = gymnasium.make("InvertedPendulum-v5", **arguments)
    task: Any = env.unwrapped
    task.model.opt.gravity[:] = 0, 0, -1.0
    return env


def short(**arguments: Any) -> gymnasium.Env[Any, Any]:
    env = gymnasium.make("CartPole-v1", **arguments)
    limit: Any = env
    limit._max_episode_steps = 12
    return env


def weak(**arguments: Any) -> gymnasium.Env[Any, Any]:
    env = gymnasium.make("Pendulum-v1", **arguments)
    env.action_space = spaces.Box(-0.5, 0.5, (1,), np.float32)
    return env


# Arguments, and resumed runs


class Told(World):
    """Notes its arguments."""

    def __init__(self, render_mode: str | None = None, **arguments: Any) -> None:
        super().__init__(render_mode)
        with Path(os.environ["CASE_FOLDER"], "told.txt").open("a") as file:
            file.write(f"{sorted(arguments.items())!r}\n")


class Bounds(World):
    """Takes actions within bounds that a variable decides."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        high = 2.0 if STRANGE == "wider actions" else 1.0
        self.action_space = spaces.Box(-high, high, (1,), np.float32)


for kind in list(vars().values()):
    if isinstance(kind, type) and issubclass(kind, World):
        gymnasium.register(f"{kind.__name__}-v0", cast(Any, kind))
for make, name in ((half_reward, "HalfReward"), (light, "Light"), (short, "Short"), (weak, "Weak")):
    gymnasium.register(f"{name}-v0", make)
