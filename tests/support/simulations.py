"""Objectives with several numbers, batches and constraints that tests name as
``simulations:...``.
"""

from __future__ import annotations

import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def beam(x: Floats) -> dict[str, float]:
    """A cost with its minimum 0 at 0, which is not allowed: a stress and a speed beside it."""
    return {"cost": float(np.sum(x**2)), "stress": float(1 - x[0]), "speed": float(x[0] + x[1])}


def noisy_beam(x: Floats, seed: int) -> tuple[float, ...]:
    """The same with noise, in the order of the columns."""
    noise = np.random.default_rng(seed).normal(0, 0.01, 3)
    return tuple((np.array(list(beam(x).values())) + noise).tolist())


def later(x: Floats) -> dict[str, float]:
    """A beam whose calls differ in their columns."""
    return beam(x) | ({"weight": 1.0} if x[0] > 0.2 else {})


def infinite(x: Floats) -> dict[str, float]:
    """A beam whose stress is not finite for some members."""
    return beam(x) | ({"stress": float("inf")} if x[0] > 0.5 else {})


def sphere_of_many(points: Floats) -> Floats:
    """(num_members,) of (num_members, dimension)."""
    return np.asarray(np.sum((points - 1) ** 2, axis=1))


def beams(points: Floats) -> Floats:
    """(num_members, 3): what `beam` returns for each."""
    return np.array([list(beam(point).values()) for point in points])


def noisy_many(points: Floats, seed: NDArray[np.int64]) -> Floats:
    """A noisy sphere of a batch, each member with a seed of its own."""
    noise = [np.random.default_rng(one).normal(0, 0.01) for one in seed.tolist()]
    return np.asarray(sphere_of_many(points) + np.array(noise))


def wrong_shape(points: Floats) -> float:
    """One number for a whole batch."""
    return float(np.sum(points))


class Informed(gymnasium.Env[Any, Any]):
    """An environment whose steps inform about their energy; ten steps."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._num_steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._num_steps += 1
        energy = float(np.sum(np.square(action)))
        info = {"energy": energy, "num_steps": self._num_steps}
        return self._observation(), -energy, False, self._num_steps == 10, info

    def _observation(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


gymnasium.register("TestInformed-v0", cast(Any, Informed))


def faulty(x: Floats) -> float:
    """A sphere whose members end their process as FAULT says, where the first number is large."""
    if x[0] > 1.0:
        match os.environ["FAULT"]:
            case "raise":
                raise ZeroDivisionError("the simulator diverged")
            case "exit":
                os._exit(3)
            case "segfault":
                ctypes.string_at(0)
            case "hang":
                ctypes.PyDLL(None).sleep(1000)
            case "killed" if not Path("killed").exists():  # by somebody, once
                Path("killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case "killed":
                raise ZeroDivisionError("the simulator diverged")
    return float(np.sum((x - 0.9) ** 2))


def messy(x: Floats) -> float:
    """A sphere that leaves its process otherwise than it was."""
    print("a solver's banner")
    os.chdir("/")
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
    subprocess.Popen(["sleep", "5"])
    sys.stdout = None
    return float(np.sum((x - 0.9) ** 2))


def shared(x: Floats, comm: Any) -> float:
    """A sphere of which each rank of a team computes a part, and what FAULT says where the first
    number is large.
    """
    time.sleep(float(os.environ.get("PAUSE_S", "0")))
    fault = os.environ.get("FAULT", "") if x[0] > 1.0 else ""
    if fault == "raise" or (fault == "raise alone" and comm.rank == 1):
        raise ZeroDivisionError("the simulator diverged")
    if fault == "exit" and comm.rank == 1:
        os._exit(3)
    if fault == "hang" and comm.rank == 0:
        time.sleep(1000)
    own = np.array_split((x - 0.9) ** 2, comm.size)[comm.rank]
    total: float = comm.allreduce(float(np.sum(own)))
    return total if comm.rank == 0 else float("nan")  # the first rank's value counts


class Shared(Informed):
    """An environment whose energy all ranks of a team compute together."""

    def __init__(self, comm: Any = None) -> None:
        self._comm = comm

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, *rest = super().step(action)
        return observation, self._comm.allreduce(reward) / self._comm.size, *rest


gymnasium.register("TestShared-v0", cast(Any, Shared))
