"""The tasks: who demonstrates, how much of it is given, and how long the methods that ask again may
ask.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from benchmarks.imitation.starts import returns_of
from esengine import load_policy, train
from esengine.demonstrations import save_demonstrations
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.ranks import World
from examples.pendulum import swing_up

HERE = Path(__file__).resolve().parent
MADE = HERE / ".demonstrations"
"""Experts and demonstrations, made when they are first needed."""


@dataclass(frozen=True)
class Task:
    """One environment with its expert.

    Attributes:
        env_id: the environment.
        counts: numbers of demonstrations.
        seeds: of every case.
        starts: episodes that a policy is judged on.
        every: one step in so many is learned from, also in rounds.
        rounds: settings of dagger and dart.
        training: settings of the ars run whose policy is the expert; none for the scripted one.
    """

    env_id: str
    counts: tuple[int, ...]
    seeds: int
    starts: int
    every: int
    rounds: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def expert(self) -> str:
        """As ``--expert`` takes it; a trained one is trained first if it is not there."""
        if not self.training:
            return "examples.pendulum:swing_up"
        run = MADE / f"expert-{self.env_id}"
        if not (run / "done.json").exists():
            train(
                "ars",
                env_id=self.env_id,
                run_dir=run,
                final_episodes=100,
                generations=100_000,
                seed=0,
                **self.training,
            )
        return str(run / "policy.safetensors")

    def demonstrations(self, count: int, seed: int) -> Path:
        """The file of demonstrations that all methods of a seed learn from."""
        path = MADE / f"{self.env_id}-{count}-{seed}.npz"
        if not path.exists():
            MADE.mkdir(exist_ok=True)
            source = (
                {"policy": Path(self.expert)}
                if self.training
                else {"expert": self.expert, "env_id": self.env_id}
            )
            collected = collect_on(
                World(), CollectSettings(**source, episodes=count, seed=1000 + seed)
            )
            assert collected is not None
            save_demonstrations(path, collected)
        return path

    def returns(self, act: Callable[[Any], Any], **named: Any) -> list[float]:
        """Of the policy, from the starts of the task."""
        return returns_of(act, env_id=self.env_id, starts=self.starts, **named)

    def normalised(self, returns: list[float]) -> float:
        """(mean return - random's) / (expert's - random's), on the same starts."""
        random, expert = anchors(self.env_id)
        return (statistics.fmean(returns) - random) / (expert - random)

    def level(self, normalised: float) -> float:
        """The return that is ``normalised``."""
        random, expert = anchors(self.env_id)
        return random + normalised * (expert - random)


_LONG = {"episodes_per_round": 2, "generations": 8, "validation_episodes": 5}
_ARS = {"top_directions": 4, "eval_episodes": 20}
_CHEETAH = {
    "target_return": 3430.0,
    "population_size": 64,
    "sigma": 0.03,
    "step_size": 0.02,
    "max_evaluations": 20_000,
}
_HOPPER = {
    "target_return": 3120.0,
    "population_size": 16,
    "sigma": 0.025,
    "step_size": 0.01,
    "survival_bonus": 1.0,
}
TASKS = {
    task.env_id: task
    for task in (
        Task("Pendulum-v1", (1, 4, 10), 5, 100, 1, {"episodes_per_round": 8, "generations": 6}),
        Task("HalfCheetah-v5", (1, 4), 3, 20, 20, _LONG, _ARS | _CHEETAH),
        Task("Hopper-v5", (1, 4), 3, 20, 20, _LONG, _ARS | _HOPPER | {"max_evaluations": 40_000}),
    )
}


@cache
def anchors(env_id: str) -> tuple[float, float]:
    """Mean returns of random actions and of the expert."""
    task, random = TASKS[env_id], np.random.default_rng(0)
    space = gymnasium.make(env_id).action_space
    assert isinstance(space, gymnasium.spaces.Box)
    drawn = task.returns(
        lambda observation: random.uniform(space.low, space.high).astype(space.dtype)
    )
    expert = task.returns(load_policy(task.expert).act if task.training else swing_up)
    return statistics.fmean(drawn), statistics.fmean(expert)
