"""The tasks: who demonstrates, who searches and how, and what counts as 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.imitation.starts import returns_of
from benchmarks.imitation.tasks import TASKS as MUJOCO, anchors
from esengine import evaluate, load_policy
from esengine.demonstrations import Demonstrations
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.ranks import World

_BALANCING = ("esengine/FixedHorizonCartPole-v0", "CartPole-v1")  # paid 1 for each of 500 steps


@dataclass(frozen=True)
class Task:
    """One environment with its expert.

    Attributes:
        env_id: the environment.
        experts: who demonstrates by kind of case, as ``--expert`` takes it; none for a policy of
            `benchmarks.imitation`.
        strategy: the method that searches, then its settings.
        search: settings of runs in which it does.
        learning: settings of the reward.
        gradient: settings of ppo, where it makes the policies.
        peer: the environment's name for the `imitation` package.
        anchors: what counts as 0 and 1, where that is not measured: the mean returns of no action
            or random ones, and of the expert. Methods have their defaults on such a task.
        least_return: of a demonstration.
    """

    env_id: str
    experts: dict[str, str]
    strategy: tuple[str, ...]
    search: dict[str, Any] = field(default_factory=dict)
    learning: dict[str, Any] = field(default_factory=dict)
    gradient: tuple[str, ...] = ()
    peer: str | None = None
    anchors: tuple[float, float] | None = None
    least_return: float | None = None

    def demonstrate(self, kind: str, count: int, seed: int) -> Demonstrations:
        """``count`` episodes of the expert that a kind of case has."""
        given: dict[str, Any] = {"episodes": count, "seed": 1000 + seed}
        given["min_return"] = self.least_return
        expert = self.experts.get(kind, self.experts.get("gail"))
        if expert is None:
            given["policy"] = Path(MUJOCO[self.env_id].expert)
        else:
            given |= {"expert": expert, "env_id": self.env_id}
        collected = collect_on(World(), CollectSettings(**given))
        assert collected is not None
        return collected

    def judge(self, run: Path) -> float:
        """The mean return of a run's policy over fresh episodes, always of the same starts."""
        if self.anchors is not None:
            return evaluate(run, episodes=50, seed=12345).mean_return
        if self.env_id in _BALANCING:
            return evaluate(run, episodes=100, seed=12345).mean_return
        act: Callable[[Any], Any] = load_policy(run).act
        return float(
            np.mean(
                returns_of(act)
                if self.env_id == "Pendulum-v1"
                else MUJOCO[self.env_id].returns(act)
            )
        )

    def score(self, mean_return: float) -> float:
        """(mean return - random's) / (expert's - random's); on the cart-pole the share of the time
        that it balances.
        """
        if self.env_id in _BALANCING:
            return mean_return / 500
        zero, one = self.anchors or _PENDULUM
        if self.anchors is None and self.env_id != "Pendulum-v1":
            zero, one = anchors(self.env_id)
        return (mean_return - zero) / (one - zero)


_PENDULUM = (-1207.6, -144.6)
_EXPERTS = "benchmarks.rewards.experts"
_CMA = ("cma-es", "population_size=64")
_ARS = ("ars", "top_directions=4")
TASKS = {
    "pendulum": Task(
        "Pendulum-v1",
        {"gail": "examples.pendulum:swing_up", "random": "benchmarks.rewards.experts:random_force"},
        _CMA,
        {"episodes_per_member": 2},
        gradient=("discount=0.9", "learning_rate=1e-3", "steps_per_round=1000"),
        peer="Pendulum-v1",
    ),
    "cartpole": Task(
        "esengine/FixedHorizonCartPole-v0",
        {
            "gail": "examples.cartpole_experts:balance",
            "random": "benchmarks.rewards.experts:random_push",
            "constant": "benchmarks.rewards.experts:constant",
        },
        _CMA,
        {"episodes_per_member": 1},
        peer="seals/CartPole-v0",
    ),
    "cartpole that falls": Task("CartPole-v1", {}, _CMA),
    "halfcheetah": Task(
        "HalfCheetah-v5",
        {},
        (*_ARS, "population_size=64", "sigma=0.03", "step_size=0.02"),
        learning={"reward_steps": 16},
        peer="HalfCheetah-v4",
    ),
    "hopper": Task(
        "Hopper-v5",
        {},
        (*_ARS, "population_size=16", "sigma=0.025", "step_size=0.01"),
        learning={"reward_steps": 16},
        peer="Hopper-v4",
    ),
    "double pendulum": Task(
        "InvertedDoublePendulum-v5",
        {"gail": f"{_EXPERTS}:balance_double"},
        (),
        anchors=(86, 9360),
    ),
    "mountain car": Task(
        "MountainCarContinuous-v0", {"gail": f"{_EXPERTS}:climb"}, (), anchors=(0, 94.2)
    ),
    "lander": Task(
        "LunarLander-v3",
        {"gail": f"{_EXPERTS}:land"},
        (),
        anchors=(-173, 265),
        least_return=200.0,
    ),
}
