"""What the engine asks of a simulator, and what an episode returns."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.policies.network import Actor

EnvBackend = Literal["auto", "gymnasium", "compiled", "vectorized"]
NO_MOMENTS = np.empty(0)
UNLIMITED = 2**62


@dataclass(frozen=True)
class Episode:
    """What one episode gave; equal to another one of the same return and length.

    Attributes:
        episode_return: sum of its rewards.
        num_steps: steps that it lasted.
        at_gate: its return after the gate's steps, or when it ended before; NaN without a gate.
        last_observation: (obs_dim,) flat, of the state that it ended in; None where the simulator
            does not tell.
    """

    episode_return: float
    num_steps: int
    at_gate: float = field(default=math.nan, compare=False)
    last_observation: NDArray[np.floating] | None = field(default=None, compare=False)


class Gate(NamedTuple):
    """Ends an episode that has a return below ``least`` after ``step`` steps; the default ends
    none.
    """

    step: int = 0
    least: float = -math.inf


NO_GATE = Gate()


class Simulator(Protocol):
    """Runs episodes of one environment."""

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        gate: Gate = NO_GATE,
    ) -> Episode:
        """One episode, with the arguments of `stepped.run_episode`."""

    def close(self) -> None:
        """Give the environment back."""


@runtime_checkable
class BatchSimulator(Simulator, Protocol):
    """Runs the episodes of many members in one call.

    Attributes:
        most_members: members of one call beyond which nothing is gained.
    """

    most_members: int

    def run_members(
        self,
        actor: Actor,
        rows: NDArray[np.floating],
        seeds: NDArray[np.uint64],
        statistics: NDArray[np.float64],
        max_steps: int | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """All episodes of all members; returns (num_members, num_episodes) returns and
        (num_members,) steps.

        Args:
            actor: gives architecture and scaling.
            rows: (num_members, num_parameters).
            seeds: (num_members, num_episodes).
            statistics: packed observation moments that the members' are added to, in order; or an
                empty array.
            max_steps: see `stepped.run_episode`.
        """


def step_limit(env: gymnasium.Env[Any, Any]) -> int:
    return getattr(env.spec, "max_episode_steps", None) or UNLIMITED
