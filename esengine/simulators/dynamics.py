"""Environments as planners see them: a state that can be read and set, and many candidate control
sequences run at once.

A *state* is a vector of float64 from which an environment continues to the last bit; a *control* is
a vector within finite bounds that stands for an action. `make_dynamics` returns compiled dynamics
where they exist, and otherwise steps the environment itself. The result of a candidate depends on
its own state and controls alone, never on its neighbours in a batch.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, runtime_checkable

import gymnasium
import numpy as np
from numpy.typing import NDArray


class Transitions(NamedTuple):
    """One step of many candidates.

    Attributes:
        states: (num_candidates, state_size) the states after it.
        rewards: (num_candidates,) float64.
        terminated: (num_candidates,) bool.
    """

    states: NDArray[np.float64]
    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]

    @classmethod
    def starting_from(cls, states: NDArray[np.float64]) -> Transitions:
        """A copy of the states before a step, with room for rewards and ends."""
        return cls(np.array(states), np.empty(len(states)), np.empty(len(states), np.bool_))


class Model(Protocol):
    """What controls do, one step at a time: a simulator, or a model that was fitted to samples.

    Attributes:
        state_size: length of a state.
        num_coordinates: how many numbers at its beginning say where the system is; derivatives are
            taken by these alone. The others, such as a solver's warm start, only make a step
            repeatable.
        low, high: (num_controls,) float64 finite bounds of a control.
        smooth: whether rewards and next states are differentiable in controls and coordinates
            almost everywhere.
    """

    state_size: int
    num_coordinates: int
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    smooth: bool

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        """Take one step from each of ``states`` (num_candidates, state_size) under ``controls``
        (num_candidates, num_controls).
        """


class Dynamics(Model, Protocol):
    """The contract. Each rank has its own object, which keeps nothing from one call to the next."""

    def state_of(
        self, env: gymnasium.Env[Any, Any], observation: Any = None
    ) -> NDArray[np.float64]:
        """The state of an environment, (state_size,); the environment does not change.

        Args:
            env: the environment.
            observation: its newest one, which is the state of a learned model.
        """

    def action_of(self, control: NDArray[np.float64]) -> Any:
        """The action that a control stands for, in the environment's own form."""

    def control_of(self, action: Any) -> NDArray[np.float64]:
        """A control that stands for an action, (num_controls,); the middle of all such controls."""

    def returns(
        self, state: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The sum of rewards of each candidate from one state, up to its end if it terminates,
        (num_candidates,) float64.

        Args:
            state: (state_size,).
            controls: (num_candidates, horizon, num_controls) within the bounds.
        """


@runtime_checkable
class ObservableDynamics(Dynamics, Protocol):
    """Dynamics that can compute what a policy sees in a state."""

    def observe(self, states: NDArray[np.float64]) -> NDArray[np.float32]:
        """The flat observations of ``states`` (num_candidates, state_size), (num_candidates,
        obs_dim) float32.
        """
