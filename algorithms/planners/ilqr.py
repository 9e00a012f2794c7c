"""iLQR with bounded controls (Tassa, Mansard, Todorov 2014, "Control-limited differential dynamic
programming").

A backward pass solves the linear-quadratic problem around the plan. A forward pass tries its
feedback with several step lengths. The second derivatives of the dynamics are left out (Li and
Todorov 2004), and those of the cost are made positive semidefinite. On a linear-quadratic problem
the first backward pass is the Riccati recursion.
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
    AnalyticModel,
    Expansion,
    convex,
    expand,
)
from esengine.algorithms.planners.riccati import Feedback, backward
from esengine.checks import at_least, positive
from esengine.errors import UserError
from esengine.simulators.dynamics import Dynamics, Model

_LENGTHS = 0.5 ** np.arange(10)  # of the step, down to 0.002
_LEAST_REGULARIZATION = 1e-6
_MOST_REGULARIZATION = 1e6


class ExtraCost(Protocol):
    """A cost in addition to the environment's rewards."""

    def add(
        self, expansion: Expansion, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> None:
        """Add the cost's derivatives to those along a trajectory, in place.

        Args:
            expansion: derivatives along the trajectory; the costs are convex.
            states: (horizon + 1, state_size).
            controls: (horizon, num_controls).
        """

    def costs(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the cost of each candidate, (num_candidates,).

        Args:
            states: (num_candidates, horizon + 1, state_size).
            controls: (num_candidates, horizon, num_controls).
        """


@dataclass(frozen=True)
class ILQR:
    """Plan by the linear-quadratic problem around the last plan, within the bounds of controls; the
    plans have feedback gains.
    """

    set_by: ClassVar[str] = "--planner-arg"

    horizon: int = 30
    """Number of steps that a plan looks ahead."""
    num_iterations: int = 5
    """Largest number of backward and forward passes."""
    tolerance: float = 1e-6
    """Stop improving a plan when its return grows by less than this fraction."""
    coordinate_step: float = 1e-3
    """Step of finite differences in coordinates, if a simulator has no derivatives."""
    control_step: float = 1e-2
    """Step of finite differences in controls, relative to half their range."""
    cross_terms: bool = True
    """Include the mixed second derivatives of the cost; large systems are much faster without them.
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
        extra = None if attraction is None else _FirstControl(dynamics, attraction)
        return self.improve(dynamics, state, controls, extra)

    def improve(
        self,
        dynamics: Model,
        state: NDArray[np.float64],
        controls: NDArray[np.float64],
        extra: ExtraCost | None = None,
    ) -> Plan:
        """Return a plan that improves ``controls``, with its feedback.

        Its expected return is that of the environment minus the extra cost.

        Args:
            dynamics: what the controls do.
            state: (state_size,) where to start.
            controls: (any horizon, num_controls) to improve.
            extra: a cost in addition to the rewards, or None.
        """
        n = dynamics.num_coordinates
        regularization = 0.0
        nominal = follow(dynamics, state[None], controls[None], extra)
        states = nominal.states[0]
        value = float(nominal.returns[0])
        expansion = self._expand(dynamics, states, controls, extra)
        law = Feedback.none(len(controls), n, controls.shape[1])

        for _ in range(self.num_iterations):
            # Backward pass
            found = backward(expansion, controls, dynamics.low, dynamics.high, regularization)
            gain = 0.0
            if found is not None:
                # Forward pass, at all lengths of the step at once
                law = found
                tried = Law(
                    controls + _LENGTHS[:, None, None] * law.openings,
                    law.gains,
                    states[:-1, :n],
                    dynamics.low,
                    dynamics.high,
                )
                starts = np.tile(state, (len(_LENGTHS), 1))
                outcome = follow(dynamics, starts, tried.controls, extra, tried)
                returns = np.where(np.isnan(outcome.returns), -np.inf, outcome.returns)
                best = int(np.argmax(returns))
                gain = float(returns[best]) - value

            # No step improves the plan: try a shorter one
            if gain <= 0:
                if regularization >= _MOST_REGULARIZATION:
                    break
                regularization = max(_LEAST_REGULARIZATION, 10 * regularization)
                continue

            # The best step is the new plan
            regularization = 0.0 if regularization <= _LEAST_REGULARIZATION else regularization / 10
            controls = outcome.controls[best]
            states = outcome.states[best]
            value = float(returns[best])
            if gain <= self.tolerance * abs(value):
                break
            expansion = self._expand(dynamics, states, controls, extra)

        return Plan(controls, value, states, law.gains, law.precisions)

    def feedback(
        self,
        dynamics: Model,
        states: NDArray[np.float64],
        controls: NDArray[np.float64],
        extra: ExtraCost | None = None,
    ) -> Feedback:
        """Return the feedback along a trajectory, with the smallest sufficient regularization.

        Args:
            dynamics: what the controls do.
            states: (horizon + 1, state_size).
            controls: (horizon, num_controls) that lead through the states.
            extra: a cost in addition to the rewards, or None.
        """
        expansion = self._expand(dynamics, states, controls, extra)
        regularization = 0.0
        while True:
            found = backward(expansion, controls, dynamics.low, dynamics.high, regularization)
            if found is not None:
                m = controls.shape[1]
                return found._replace(precisions=found.precisions + regularization * np.eye(m))
            regularization = max(_LEAST_REGULARIZATION, 10 * regularization)

    def _expand(
        self,
        dynamics: Model,
        states: NDArray[np.float64],
        controls: NDArray[np.float64],
        extra: ExtraCost | None,
    ) -> Expansion:
        if isinstance(dynamics, AnalyticModel):
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
        n = self.dynamics.num_coordinates
        precision = self.attraction.precision(self.dynamics)
        expansion.gradients[0, n:] += precision * (controls[0] - self.attraction.target)
        expansion.hessians[0, n:, n:] += np.diag(precision)

    def costs(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        return self.attraction.costs(self.dynamics, controls[:, 0])


class Law(NamedTuple):
    """Controls with feedback on coordinates, clipped to the bounds.

    Attributes:
        controls: (num_candidates, horizon, num_controls).
        gains: (horizon, num_controls, num_coordinates).
        coordinates: (horizon, num_coordinates) around which the feedback is linear.
        low, high: (num_controls,) bounds.
    """

    controls: NDArray[np.float64]
    gains: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def at(self, t: int, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the controls of step t, (num_candidates, num_controls), in ``states``
        (num_candidates, state_size).
        """
        away = states[:, : self.coordinates.shape[1]] - self.coordinates[t]
        return np.clip(self.controls[:, t] + away @ self.gains[t].T, self.low, self.high)


class Outcome(NamedTuple):
    """Candidates after a run.

    Attributes:
        states: (num_candidates, horizon + 1, state_size).
        controls: (num_candidates, horizon, num_controls) as applied.
        returns: (num_candidates,).
    """

    states: NDArray[np.float64]
    controls: NDArray[np.float64]
    returns: NDArray[np.float64]


def follow(
    dynamics: Model,
    starts: NDArray[np.float64],
    controls: NDArray[np.float64],
    extra: ExtraCost | None = None,
    law: Law | None = None,
) -> Outcome:
    """Run candidates, with the feedback of a law if there is one.

    A candidate earns no reward after its episode has terminated.

    Args:
        dynamics: what the controls do.
        starts: (num_candidates, state_size).
        controls: (num_candidates, horizon, num_controls).
        extra: a cost in addition to the rewards, or None.
        law: corrects the controls, or None.
    """
    applied = np.array(controls)
    states = [starts]
    returns = np.zeros(len(starts))
    alive = np.ones(len(starts), bool)
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
