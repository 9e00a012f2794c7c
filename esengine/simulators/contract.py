"""What the engine asks of a simulator, what an episode returns, and what a family of environments
is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray

from esengine.environments.spaces import ObservationSpec
from esengine.environments.spec import limit_of
from esengine.policies.network import Actor
from esengine.simulators.dynamics import Dynamics
from esengine.simulators.traces import Episode, TraceBuffer

EnvBackend = Literal["auto", "gymnasium", "compiled", "vectorized"]
NO_MOMENTS = np.empty(0)
UNLIMITED = 2**62


class Simulator(Protocol):
    """Runs episodes of one environment."""

    def run(
        self,
        actor: Actor,
        seed: int,
        moments: NDArray[np.float64] | None = None,
        max_steps: int | None = None,
        trace: TraceBuffer | None = None,
    ) -> Episode:
        """Run one episode from the start that ``seed`` gives.

        Args:
            actor: the policy; a sampled one draws from the stream ``seed``.
            seed: of the environment's reset and of the sampled actions.
            moments: packed observation moments to which every acted-on observation is added, or
                None.
            max_steps: cut the episode after this many steps, or None to leave that to the
                environment.
            trace: overwritten by what the policy sees, does and gets, or None. It must have room
                for the steps of the episode, so give ``max_steps`` with it.
        """

    def close(self) -> None:
        """Close the environment."""


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
        """Run all episodes of all members; returns (num_members, num_episodes) returns and
        (num_members,) steps.

        Args:
            actor: gives architecture and scaling.
            rows: (num_members, num_parameters).
            seeds: (num_members, num_episodes).
            statistics: packed observation moments to which the members' are added in order, or an
                empty array.
            max_steps: see `Simulator.run`.
        """


@dataclass(frozen=True)
class Family:
    """Environments that are simulated in the same way; `families.FAMILIES` lists all of them.

    Attributes:
        name: for messages.
        matches: whether the class of an environment, given without wrappers, is in the family.
        difference: what of such an environment is not as compiled, in words, or None.
        simulator: makes the simulator of an environment; the simulator closes the environment.
        dynamics: makes the dynamics of an environment, for planners.
    """

    name: str
    matches: Callable[[gymnasium.Env[Any, Any]], bool]
    difference: Callable[[gymnasium.Env[Any, Any]], str | None]
    simulator: Callable[[gymnasium.Env[Any, Any], ObservationSpec], Simulator]
    dynamics: Callable[[gymnasium.Env[Any, Any]], Dynamics]


def step_limit(env: gymnasium.Env[Any, Any]) -> int:
    """The steps after which gymnasium cuts an episode."""
    return limit_of(env) or UNLIMITED
