"""The contract of planners, with the plan that they return and the costs that they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.simulators.dynamics import Dynamics


@dataclass(frozen=True, eq=False)
class Plan:
    """The result of a planner. The last three attributes are set by planners with feedback only.

    Attributes:
        controls: (horizon, num_controls) float64 within the bounds; the first one is applied now.
        expected_return: sum of rewards of the controls in the simulator, minus the cost of an
            attraction.
        states: (horizon + 1, state_size) states that the controls lead through.
        gains: (horizon, num_controls, num_coordinates) linear feedback K on the coordinates'
            distance from ``states``.
        precisions: (horizon, num_controls, num_controls) second derivatives Q_uu of the cost to go
            with respect to the control; the inverse covariance of the maximum-entropy controller.
    """

    controls: NDArray[np.float64]
    expected_return: float
    states: NDArray[np.float64] | None = None
    gains: NDArray[np.float64] | None = None
    precisions: NDArray[np.float64] | None = None

    def shifted(self) -> NDArray[np.float64]:
        """Return the guess for the next step: all controls but the first, then the last again."""
        return np.concatenate([self.controls[1:], self.controls[-1:]])


class Bounded(Protocol):
    """Whatever has bounds of controls, (num_controls,) each."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Attraction:
    """A cost w / 2 |(u - target) / reach|^2 of a plan's first control u.

    reach is half the range of the controls. Up to a constant, this is the divergence of the control
    from a normal distribution around ``target`` with the inverse covariance w / reach^2.

    Attributes:
        target: (num_controls,).
        weight: w, in units of return.
    """

    target: NDArray[np.float64]
    weight: float

    def precision(self, dynamics: Bounded) -> NDArray[np.float64]:
        """Return the second derivatives of the cost, w / reach^2, (num_controls,)."""
        return self.weight / ((dynamics.high - dynamics.low) / 2) ** 2

    def costs(self, dynamics: Dynamics, controls: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cost of each of ``controls`` (num_candidates, num_controls)."""
        return 0.5 * ((controls - self.target) ** 2 * self.precision(dynamics)).sum(axis=1)


def returns_of(
    dynamics: Dynamics,
    state: NDArray[np.float64],
    candidates: NDArray[np.float64],
    attraction: Attraction | None,
) -> NDArray[np.float64]:
    """Return the returns of candidates minus the cost of the attraction, (num_candidates,).

    Args:
        dynamics: what the controls do.
        state: (state_size,) where to start.
        candidates: (num_candidates, horizon, num_controls).
        attraction: of the first control, or None.
    """
    returns = dynamics.returns(state, candidates)
    return returns if attraction is None else returns - attraction.costs(dynamics, candidates[:, 0])


class Planner(Protocol):
    """A planner: a frozen dataclass of settings, whose fields ``--planner-arg`` sets.

    It has no state. All its random numbers are a function of the key that it is given.
    """

    @property
    def horizon(self) -> int:
        """The number of steps that a plan looks ahead."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for invalid settings, or for dynamics that the planner cannot handle."""

    def plan(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        key: int,
        attraction: Attraction | None = None,
    ) -> Plan:
        """Return a plan from a state.

        Args:
            dynamics: what the controls do.
            state: (state_size,) where to start.
            guess: (horizon, num_controls) to improve, or None for the middle of the bounds.
            key: the key of all random numbers.
            attraction: a cost of the first control, or None.
        """


def first_guess(
    dynamics: Dynamics, horizon: int, guess: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the guess clipped to the bounds, or the middle of the bounds, (horizon, num_controls).

    Raises:
        ValueError: the guess has another shape.
    """
    if guess is None:
        return np.tile((dynamics.low + dynamics.high) / 2, (horizon, 1))
    if guess.shape != (horizon, dynamics.low.size):
        raise ValueError(
            f"the guess must have shape {(horizon, dynamics.low.size)}, got {guess.shape}"
        )
    return np.clip(guess, dynamics.low, dynamics.high)
