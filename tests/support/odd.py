"""Environments and objectives that are a little off the rules, which the tests name as
``odd:...``.
"""

from __future__ import annotations

import random
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


class Odd(gymnasium.Env[Any, Any]):
    """An environment of 20 steps whose ``form`` says what is odd."""

    observation_space: Any = spaces.Box(-9, 9, (2,), np.float32)
    action_space: Any = spaces.Discrete(2)

    def __init__(self, form: str = "") -> None:
        self.form = form
        self.episodes = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        if self.form == "small seeds" and (seed or 0) > 1000:
            raise ValueError("the seed is too large")
        super().reset(seed=None if self.form == "ignores the seed" else seed)
        self.episodes += 1
        self.steps = 0
        observation = self.observe()
        return observation if self.form == "old reset" else (observation, {})

    def observe(self) -> Any:
        observation = self.np_random.normal(size=2).astype(np.float32)
        match self.form:
            case "random":
                observation[0] = random.random()
            case "numpy.random":
                observation[0] = np.random.random()  # noqa: NPY002
            case "keeps":
                observation[0] = self.episodes
            case "objects":
                return observation.astype(object)
            case "complex":
                return observation.astype(complex)
            case "dictionary":
                return {"x": observation}
            case "text":
                return "north"
        return observation

    def step(self, action: Any) -> Any:
        self.steps += 1
        reward: Any = -1.0
        terminated: Any = self.steps >= 20 and self.form != "no end"
        match self.form:
            case "old step":
                return self.observe(), reward, terminated, {}
            case "no reward":
                reward = None
            case "two rewards":
                reward = np.zeros(2)
            case "array of one":
                reward, terminated = np.array([-1.0]), np.array([terminated])
            case "two ends":
                terminated = np.array([terminated, False])
        return self.observe(), reward, terminated, False, {}


class NoSeed(Odd):
    """Its reset is of an older form."""

    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class NoOptions(Odd):
    """Its reset takes a seed alone."""

    def reset(self, seed: int | None = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


gymnasium.register("Odd-v0", cast(Any, Odd))
gymnasium.register("Limited-v0", cast(Any, Odd), max_episode_steps=30)
gymnasium.register("NoSeed-v0", cast(Any, NoSeed))
gymnasium.register("NoOptions-v0", cast(Any, NoOptions))

VALUES: dict[str, Any] = {
    "none": None,
    "text": "3.5",
    "tuple": (1.0, {}),
    "complex": 1j,
    "array": np.zeros(3),
    "one": np.array([[2.0]]),
}


def _returning(name: str) -> Any:
    return lambda x: VALUES[name]


none, text, pair, imaginary, several, one = map(_returning, VALUES)


def of_two(x: NDArray[np.float64], y: float) -> float:
    """Takes an argument more."""
    return y
