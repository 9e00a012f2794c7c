"""iLQR with bounded controls (Tassa, Mansard, Todorov 2014, "Control-limited differential dynamic
programming").

A backward pass solves the linear-quadratic problem around the plan, a forward pass tries its
feedback at several lengths of step. The second derivatives of the dynamics are left out (Li and
Todorov 2004), and the cost's are made positive semidefinite. On a linear-quadratic problem the
first backward pass is the Riccati recursion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import (
    Attraction,
    Plan,
    first_guess,
)
from esengine.algorithms.planners.quadratic_expansion import (
    AnalyticDynamics,
    Expansion,
    convex,
    expand,
)
from esengine.algorithms.planners.riccati import Feedback, backward
from esengine.checks import at_least, positive
from esengine.errors import UserError
from esengine.simulators.dynamics import Dynamics

_LENGTHS = 0.5 ** np.arange(10)  # of the step, down to 0.002
_LEAST_REGULARIZATION, _MOST_REGULARIZATION = 1e-6, 1e6


class ExtraCost(Protocol):
    """A cost beside the environment's rewards."""

    def add(
        self, expansion: Expansion, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> None:
        """Add its derivatives to those along a trajectory, in place.

        Args:
            expansion: of the trajectory, costs convex.
            states: (horizon + 1, state_size).
            controls: (horizon, num_controls).
        """

    def costs(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Of each candidate, (num_candidates,), from its states (num_candidates, horizon + 1,
        state_size) and its controls.
        """


@dataclass(frozen=True)
class ILQR:
    """Plan by the linear-quadratic problem around the last plan, with feedback gains, within the
    bounds of controls.
    """

    set_by: ClassVar[str] = "--planner-arg"

    horizon: int = 30
    """Steps that a plan looks ahead."""
    num_iterations: int = 5
    """Backward and forward passes at most."""
    tolerance: float = 1e-6
    """Gain in the return, relative to the return, below which a plan is done."""
    coordinate_step: float = 1e-3
    """Distance of the differences by coordinates, where a simulator has no derivatives."""
    control_step: float = 1e-2
    """Distance of the differences by controls, in halves of their range."""
    cross_terms: bool = True
    """Take the mixed second derivatives of the cost too; without them a step costs far less in
    large systems.
    """

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner, and where derivatives mean
        nothing.
        """
        at_least(self, 1, "horizon", "num_iterations")
        positive(self, "coordinate_step", "control_step", "tolerance")
        if self.control_step > 0.5:
            raise UserError(
                f"--planner-arg control_step must be at most 0.5 of half the range, got "
                f"{self.control_step}; use 0.01"
            )
        if dynamics is not None and not dynamics.smooth:
            raise UserError(
                "--planner ilqr needs continuous actions and coordinates that vary freely (no "
                "discrete choice, no "
                "free-floating body); use --planner mppi or cross-entropy"
            )

    def plan(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        key: int = 0,
        attraction: Attraction | None = None,
    ) -> Plan:
        controls = first_guess(dynamics, self.horizon, guess)
        return self.improve(
            dynamics,
            state,
            controls,
            None if attraction is None else _FirstControl(dynamics, attraction),
        )

    def improve(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        controls: NDArray[np.float64],
        extra: ExtraCost | None = None,
    ) -> Plan:
        """A better plan than ``controls`` (any horizon, num_controls) from ``state`` (state_size,),
        with its feedback.

        Its expected return is less the extra cost.
        """
        regularization, n = 0.0, dynamics.num_coordinates
        nominal = follow(dynamics, state[None], controls[None], extra)
        states, value = nominal.states[0], float(nominal.returns[0])
        expansion, law = (
            self._expand(dynamics, states, controls, extra),
            Feedback.none(len(controls), n, controls.shape[1]),
        )
        for _ in range(self.num_iterations):
            found = backward(expansion, controls, dynamics.low, dynamics.high, regularization)
            if found is None:
                if regularization >= _MOST_REGULARIZATION:
                    break
                regularization = max(_LEAST_REGULARIZATION, 10 * regularization)
                continue
            law = found
            tried = Law(
                controls + _LENGTHS[:, None, None] * law.openings,
                law.gains,
                states[:-1, :n],
                dynamics.low,
                dynamics.high,
            )
            outcome = follow(
                dynamics, np.tile(state, (len(_LENGTHS), 1)), tried.controls, extra, tried
            )
            returns = np.where(np.isnan(outcome.returns), -np.inf, outcome.returns)
            best = int(np.argmax(returns))
            gain = float(returns[best]) - value
            if gain <= 0:
                if regularization >= _MOST_REGULARIZATION:
                    break
                regularization = max(_LEAST_REGULARIZATION, 10 * regularization)
                continue
            regularization = 0.0 if regularization <= _LEAST_REGULARIZATION else regularization / 10
            controls, states, value = (
                outcome.controls[best],
                outcome.states[best],
                float(returns[best]),
            )
            if gain <= self.tolerance * abs(value):
                break
            expansion = self._expand(dynamics, states, controls, extra)
        return Plan(controls, value, states, law.gains, law.precisions)

    def feedback(
        self,
        dynamics: Dynamics,
        states: NDArray[np.float64],
        controls: NDArray[np.float64],
        extra: ExtraCost | None = None,
    ) -> Feedback:
        """The feedback along a trajectory, by the least regularization that gives one.

        Args:
            dynamics: what the controls do.
            states: (horizon + 1, state_size).
            controls: (horizon, num_controls) that lead through them.
            extra: beside the rewards, or None.
        """
        expansion, regularization = self._expand(dynamics, states, controls, extra), 0.0
        while True:
            found = backward(expansion, controls, dynamics.low, dynamics.high, regularization)
            if found is not None:
                m = controls.shape[1]
                return found._replace(precisions=found.precisions + regularization * np.eye(m))
            regularization = max(_LEAST_REGULARIZATION, 10 * regularization)

    def _expand(
        self,
        dynamics: Dynamics,
        states: NDArray[np.float64],
        controls: NDArray[np.float64],
        extra: ExtraCost | None,
    ) -> Expansion:
        if isinstance(dynamics, AnalyticDynamics):
            expansion = dynamics.expand(states[:-1], controls)
        else:
            steps = (self.coordinate_step, self.control_step)
            expansion = expand(dynamics, states[:-1], controls, *steps, self.cross_terms)
        expansion = expansion._replace(hessians=convex(expansion.hessians))
        if extra is not None:
            extra.add(expansion, states, controls)
        return expansion


@dataclass(frozen=True, eq=False)
class _FirstControl:
    """The cost of an attraction."""

    dynamics: Dynamics
    attraction: Attraction

    def add(
        self, expansion: Expansion, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> None:
        n, precision = self.dynamics.num_coordinates, self.attraction.precision(self.dynamics)
        expansion.gradients[0, n:] += precision * (controls[0] - self.attraction.target)
        expansion.hessians[0, n:, n:] += np.diag(precision)

    def costs(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self.attraction.costs(self.dynamics, controls[:, 0])


class Law(NamedTuple):
    """Controls with feedback on coordinates, kept within the bounds."""

    controls: NDArray[np.float64]
    gains: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, t: int, states: NDArray[np.float64]) -> NDArray[np.float64]:
        away = states[:, : self.coordinates.shape[1]] - self.coordinates[t]
        controls: NDArray[np.float64] = np.clip(
            self.controls[:, t] + away @ self.gains[t].T, self.low, self.high
        )
        return controls


class Outcome(NamedTuple):
    """Candidates that were run: states (num_candidates, horizon + 1, state_size), controls, returns
    (num_candidates,).
    """

    states: NDArray[np.float64]
    controls: NDArray[np.float64]
    returns: NDArray[np.float64]


def follow(
    dynamics: Dynamics,
    starts: NDArray[np.float64],
    controls: NDArray[np.float64],
    extra: ExtraCost | None = None,
    law: Law | None = None,
) -> Outcome:
    """Run candidates (num_candidates, horizon, num_controls), corrected by the law's feedback; none
    gains after its end.
    """
    applied, states = np.array(controls), [starts]
    returns, alive = np.zeros(len(starts)), np.ones(len(starts), bool)
    for t in range(controls.shape[1]):
        if law is not None:
            applied[:, t] = law.at(t, states[-1])
        transitions = dynamics.step(states[-1], applied[:, t])
        returns += np.where(alive, transitions.rewards, 0.0)
        alive &= ~transitions.terminated
        states.append(transitions.states)
    along = np.stack(states, axis=1)
    if extra is not None:
        returns -= extra.costs(along, applied)
    return Outcome(along, applied, returns)
