"""iLQR with bounded controls (Tassa, Mansard, Todorov 2014, "Control-limited differential dynamic programming").

A backward pass solves the linear-quadratic problem around the plan, a forward pass tries its feedback at several lengths of
step. The second derivatives of the dynamics are left out (Li and Todorov 2004), and the cost's are made positive
semidefinite. On a linear-quadratic problem the first backward pass is the Riccati recursion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import Attraction, Plan, check_counts, check_positive, first_guess
from esengine.algorithms.planners.expansion import AnalyticDynamics, Expansion, convex, expand
from esengine.algorithms.planners.riccati import Feedback, backward
from esengine.dynamics import Dynamics
from esengine.errors import UserError

_LENGTHS = 0.5 ** np.arange(10)  # of the step, down to 0.002
_LEAST_REGULARIZATION, _MOST_REGULARIZATION = 1e-6, 1e6


@dataclass(frozen=True)
class ILQR:
    """Plan by the linear-quadratic problem around the last plan, with feedback gains, within the bounds of controls."""

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
    """Take the mixed second derivatives of the cost too; without them a step costs far less in large systems."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner, and where derivatives mean nothing."""
        check_counts(horizon=self.horizon, num_iterations=self.num_iterations)
        check_positive(coordinate_step=self.coordinate_step, control_step=self.control_step, tolerance=self.tolerance)
        if self.control_step > 0.5:
            raise UserError(
                f"--planner-arg control_step must be at most 0.5 of half the range, got {self.control_step}; use 0.01"
            )
        if dynamics is not None and not dynamics.smooth:
            raise UserError(
                "--planner ilqr needs continuous actions and coordinates that vary freely (no discrete choice, no "
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
        regularization, n = 0.0, dynamics.num_coordinates
        controls = first_guess(dynamics, self.horizon, guess)
        nominal = _follow(dynamics, state[None], controls[None], attraction)
        states, value = nominal.states[0], float(nominal.returns[0])
        expansion, law = self._expand(dynamics, states, controls, attraction), Feedback.none(self.horizon, n, controls.shape[1])
        for _ in range(self.num_iterations):
            found = backward(expansion, controls, dynamics.low, dynamics.high, regularization)
            if found is None:
                if regularization >= _MOST_REGULARIZATION:
                    break
                regularization = max(_LEAST_REGULARIZATION, 10 * regularization)
                continue
            law = found
            tried = _Law(
                controls + _LENGTHS[:, None, None] * law.openings, law.gains, states[:-1, :n], dynamics.low, dynamics.high
            )
            outcome = _follow(dynamics, np.tile(state, (len(_LENGTHS), 1)), tried.controls, attraction, tried)
            returns = np.where(np.isnan(outcome.returns), -np.inf, outcome.returns)
            best = int(np.argmax(returns))
            gain = float(returns[best]) - value
            if gain <= 0:
                if regularization >= _MOST_REGULARIZATION:
                    break
                regularization = max(_LEAST_REGULARIZATION, 10 * regularization)
                continue
            regularization = 0.0 if regularization <= _LEAST_REGULARIZATION else regularization / 10
            controls, states, value = outcome.controls[best], outcome.states[best], float(returns[best])
            if gain <= self.tolerance * abs(value):
                break
            expansion = self._expand(dynamics, states, controls, attraction)
        return Plan(controls, value, states, law.gains, law.precisions)

    def _expand(
        self,
        dynamics: Dynamics,
        states: NDArray[np.float64],
        controls: NDArray[np.float64],
        attraction: Attraction | None,
    ) -> Expansion:
        if isinstance(dynamics, AnalyticDynamics):
            expansion = dynamics.expand(states[:-1], controls)
        else:
            steps = (self.coordinate_step, self.control_step)
            expansion = expand(dynamics, states[:-1], controls, *steps, self.cross_terms)
        expansion = expansion._replace(hessians=convex(expansion.hessians))
        if attraction is not None:
            n, precision = dynamics.num_coordinates, attraction.precision(dynamics)
            expansion.gradients[0, n:] += precision * (controls[0] - attraction.target)
            expansion.hessians[0, n:, n:] += np.diag(precision)
        return expansion


class _Law(NamedTuple):
    """Controls with feedback on coordinates, kept within the bounds."""

    controls: NDArray[np.float64]
    gains: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, t: int, states: NDArray[np.float64]) -> NDArray[np.float64]:
        away = states[:, : self.coordinates.shape[1]] - self.coordinates[t]
        controls: NDArray[np.float64] = np.clip(self.controls[:, t] + away @ self.gains[t].T, self.low, self.high)
        return controls


class _Outcome(NamedTuple):
    states: NDArray[np.float64]
    controls: NDArray[np.float64]
    returns: NDArray[np.float64]


def _follow(
    dynamics: Dynamics,
    starts: NDArray[np.float64],
    controls: NDArray[np.float64],
    attraction: Attraction | None,
    law: _Law | None = None,
) -> _Outcome:
    """Run candidates (num_candidates, horizon, num_controls), corrected by the law's feedback; none gains after its end."""
    applied, states = np.array(controls), [starts]
    returns, alive = np.zeros(len(starts)), np.ones(len(starts), bool)
    for t in range(controls.shape[1]):
        if law is not None:
            applied[:, t] = law.at(t, states[-1])
        transitions = dynamics.step(states[-1], applied[:, t])
        returns += np.where(alive, transitions.rewards, 0.0)
        alive &= ~transitions.terminated
        states.append(transitions.states)
    if attraction is not None:
        returns -= attraction.costs(dynamics, applied[:, 0])
    return _Outcome(np.stack(states, axis=1), applied, returns)
