"""The contract of planners, and what all of them do: check settings, and begin where the last plan
went on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.simulators.dynamics import Dynamics


@dataclass(frozen=True, eq=False)
class Plan:
    """What a planner answers.

    Attributes:
        controls: (horizon, num_controls) float64 within the bounds; the first is to be applied now.
        expected_return: sum of rewards that the controls give in the simulator, less the cost of an
            attraction.
        states: (horizon + 1, state_size) that they lead through; of planners with feedback only.
        gains: (horizon, num_controls, num_coordinates) linear feedback K on the coordinates'
            distance from ``states``; of planners with feedback only.
        precisions: (horizon, num_controls, num_controls) second derivatives Q_uu of the cost to go
            by the control, the inverse covariance of the maximum-entropy controller; of planners
            with feedback only.
    """

    controls: NDArray[np.float64]
    expected_return: float
    states: NDArray[np.float64] | None = None
    gains: NDArray[np.float64] | None = None
    precisions: NDArray[np.float64] | None = None

    def shifted(self) -> NDArray[np.float64]:
        """The guess for the next step: these controls one step on, the last one twice."""
        return np.concatenate([self.controls[1:], self.controls[-1:]])


@dataclass(frozen=True, eq=False)
class Attraction:
    """A cost w / 2 |(u - target) / reach|^2 of a plan's first control, where reach is half the
    range of controls.

    With w / reach^2 as the inverse covariance of a normal distribution about ``target`` this is the
    divergence of the control from that distribution, up to a constant.

    Attributes:
        target: (num_controls,).
        weight: w, in units of return.
    """

    target: NDArray[np.float64]
    weight: float

    def precision(self, dynamics: Dynamics) -> NDArray[np.float64]:
        """The cost's second derivatives, w / reach^2, (num_controls,)."""
        precision: NDArray[np.float64] = self.weight / ((dynamics.high - dynamics.low) / 2) ** 2
        return precision

    def costs(self, dynamics: Dynamics, controls: NDArray[np.float64]) -> NDArray[np.float64]:
        """The cost of each of ``controls`` (num_candidates, num_controls)."""
        costs: NDArray[np.float64] = 0.5 * (
            (controls - self.target) ** 2 * self.precision(dynamics)
        ).sum(axis=1)
        return costs


def returns_of(
    dynamics: Dynamics,
    state: NDArray[np.float64],
    candidates: NDArray[np.float64],
    attraction: Attraction | None,
) -> NDArray[np.float64]:
    """What candidates (num_candidates, horizon, num_controls) gain, less the cost of the
    attraction.
    """
    returns = dynamics.returns(state, candidates)
    return returns if attraction is None else returns - attraction.costs(dynamics, candidates[:, 0])


class Planner(Protocol):
    """A planner's settings, a frozen dataclass whose fields ``--planner-arg`` sets. It has no
    state, and draws from its key.
    """

    @property
    def horizon(self) -> int:
        """Steps that it looks ahead."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner, or for dynamics that it cannot plan
        in.
        """

    def plan(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        key: int,
        attraction: Attraction | None = None,
    ) -> Plan:
        """Controls from a state.

        Args:
            dynamics: what the controls do.
            state: (state_size,) where to begin.
            guess: (horizon, num_controls) to improve on, or None for the middle of the bounds.
            key: of every random number that is drawn.
            attraction: what the first control is drawn to, or None.
        """


def first_guess(
    dynamics: Dynamics, horizon: int, guess: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """The guess within the bounds, or the middle of the bounds, (horizon, num_controls)."""
    if guess is None:
        return np.tile((dynamics.low + dynamics.high) / 2, (horizon, 1))
    if guess.shape != (horizon, dynamics.low.size):
        raise ValueError(
            f"the guess must have shape {(horizon, dynamics.low.size)}, got {guess.shape}"
        )
    return np.clip(guess, dynamics.low, dynamics.high)
