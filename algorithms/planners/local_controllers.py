"""Local controllers for guided policy search: linear feedback along a trajectory, kept near a
policy or near the last controller (Levine, Koltun 2013).

A controller p(u | x) = N(u_t + K_t (x - x_t), Sigma_t) minimises the cost under a constraint: its
divergence from the policy pi is at most epsilon per step (the C-step of Montgomery, Levine 2016,
arXiv 1607.04614). pi is a normal distribution with a fixed covariance around the policy's action.
iLQR minimises the Lagrangian c(x, u) + eta / 2 (u - mu_pi(x))' P (u - mu_pi(x)) - eta H(p) with the
multiplier eta; the entropy H makes Sigma_t = eta Q_uu^-1. Bisection finds the smallest eta that
satisfies the constraint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.quadratic_expansion import Expansion
from esengine.policies.forward_pass import forward_reference
from esengine.policies.network import Actor
from esengine.simulators.dynamics import Model, ObservableDynamics

_LEAST_ETA = 1e-3  # units of return per nat
_MOST_ETA = 1e4
_BISECTIONS = 8
_STEP = 1e-4  # of coordinates, for the policy's derivatives; observations are only float32

# Range of an adaptive step relative to its first value, and of its change at once
_LEAST_SCALE = 0.1
_MOST_SCALE = 10.0
_LEAST_FACTOR = 0.5
_MOST_FACTOR = 2.0

Means = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""What a policy or a controller does without noise: maps states (n, state_size) to controls
(n, num_controls) within their bounds.
"""


class Controller(NamedTuple):
    """A local controller.

    Attributes:
        states: (num_steps + 1, state_size) x_t.
        controls: (num_steps, num_controls) u_t.
        gains: (num_steps, num_controls, num_coordinates) K_t.
        precisions: (num_steps, num_controls, num_controls) the inverses of Sigma_t.
        expected_return: return of the controls, without noise.
        divergence: divergence from the policy, in nats per step.
        eta: the multiplier; Q_uu is eta times the precision.
    """

    states: NDArray[np.float64]
    controls: NDArray[np.float64]
    gains: NDArray[np.float64]
    precisions: NDArray[np.float64]
    expected_return: float
    divergence: float
    eta: float

    def mean(self, step: int, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the control for a state at a step, (num_controls,), not clipped to bounds.

        After the last step, the feedback of the last step applies.
        """
        t = min(step, len(self.controls) - 1)
        n = self.gains.shape[2]
        return self.controls[t] + self.gains[t] @ (state[:n] - self.states[t, :n])

    def means(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the control for each of the states (n, state_size) of a model whose last number is
        the step, (n, num_controls), not clipped to bounds.
        """
        t = np.minimum(states[:, -1].astype(np.int64), len(self.controls) - 1)
        n = self.gains.shape[2]
        away = states[:, :n] - self.states[t, :n]
        return self.controls[t] + np.einsum("bij,bj->bi", self.gains[t], away)


def actions(actor: Actor, observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a policy's actions without noise, (n, num_controls) float64, not clipped to bounds.

    Args:
        actor: the policy.
        observations: (n, obs_dim) flat observations.
    """
    scaling = (actor.observation_mean, actor.observation_inverse_std)
    outputs = forward_reference(actor.parameters, actor.spec.layers, observations, *scaling)
    box = actor.spec.action
    return box.center() + box.reach() * outputs.astype(np.float64)


def policy_means(dynamics: ObservableDynamics, actor: Actor) -> Means:
    """Return what a policy does in the states of dynamics that compute its observations."""

    def means(states: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.clip(actions(actor, dynamics.observe(states)), dynamics.low, dynamics.high)

    return means


@dataclass(frozen=True, eq=False)
class PolicyCost:
    """The cost of the distance from a policy with the derivatives that iLQR needs:
    eta / 2 (u - mu(x))' P (u - mu(x)) at every step.

    Attributes:
        num_coordinates: the number of coordinates.
        means: mu of states.
        precision: (num_controls, num_controls) P.
        eta: the multiplier.
    """

    num_coordinates: int
    means: Means
    precision: NDArray[np.float64]
    eta: float

    def add(
        self, expansion: Expansion, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> None:
        n = self.num_coordinates
        P = self.eta * self.precision
        J = self._jacobians(states[:-1])

        away = (controls - self.means(states[:-1])) @ P
        expansion.gradients[:, :n] -= np.einsum("tij,ti->tj", J, away)
        expansion.gradients[:, n:] += away

        PJ = np.einsum("ij,tjk->tik", P, J)
        expansion.hessians[:, :n, :n] += np.einsum("tij,tik->tjk", J, PJ)
        expansion.hessians[:, n:, :n] -= PJ
        expansion.hessians[:, :n, n:] -= PJ.transpose(0, 2, 1)
        expansion.hessians[:, n:, n:] += P

    def costs(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        count, horizon, _ = controls.shape
        means = self.means(states[:, :-1].reshape(count * horizon, -1))
        away = controls - means.reshape(controls.shape)
        return 0.5 * self.eta * np.einsum("cti,ij,ctj->c", away, self.precision, away)

    def _jacobians(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives of mu with respect to the coordinates by central differences,
        (num_steps, num_controls, num_coordinates).
        """
        n = self.num_coordinates
        moved = np.repeat(states[:, None], 2 * n, axis=1)
        moved[:, :, :n] += _STEP * np.concatenate([np.eye(n), -np.eye(n)])
        means = self.means(moved.reshape(-1, states.shape[1])).reshape(len(states), 2 * n, -1)
        return ((means[:, :n] - means[:, n:]) / (2 * _STEP)).transpose(0, 2, 1)


def divergence(
    mean_distances: NDArray[np.float64], precisions: NDArray[np.float64], P: NDArray[np.float64]
) -> float:
    """Return the mean over steps of KL(N(u, Sigma_t) || N(mu, P^-1)) in nats.

    Args:
        mean_distances: (num_steps, num_controls) u - mu.
        precisions: (num_steps, num_controls, num_controls) the inverses of Sigma_t.
        P: (num_controls, num_controls).
    """
    ratios = np.linalg.solve(precisions, np.broadcast_to(P, precisions.shape))  # Sigma_t P
    spread = np.trace(ratios, axis1=1, axis2=2) - np.linalg.slogdet(ratios)[1] - len(P)
    away = np.einsum("ti,ij,tj->t", mean_distances, P, mean_distances)
    return float(0.5 * (away + spread).mean())


def local_controller(
    ilqr: ILQR,
    dynamics: Model,
    start: NDArray[np.float64],
    controls: NDArray[np.float64],
    means: Means | None,
    P: NDArray[np.float64],
    kl_step: float,
) -> Controller:
    """Return the best controller from a state within ``kl_step`` nats per step of a policy.

    If no multiplier satisfies the constraint, return the controller of the last and largest one.

    Args:
        ilqr: the solver; its horizon is not used.
        dynamics: what the controls do.
        start: (state_size,).
        controls: (num_steps, num_controls) to improve.
        means: what the policy does, or None if there is none yet, which leaves no constraint.
        P: (num_controls, num_controls) inverse covariance of the policy's distribution.
        kl_step: epsilon.
    """
    if means is None:
        return _solved(ilqr, dynamics, start, controls, None, P, 1.0)

    low = math.log(_LEAST_ETA)
    high = math.log(_MOST_ETA)
    best = None
    for _ in range(_BISECTIONS):
        eta = math.exp((low + high) / 2)
        cost = PolicyCost(dynamics.num_coordinates, means, P, eta)
        found = _solved(ilqr, dynamics, start, controls, cost, P, eta)
        if found.divergence <= kl_step:
            best = found
            high = math.log(eta)
        else:
            low = math.log(eta)
    return found if best is None else best


def adapted(step: float, base: float, promised: float, gained: float) -> float:
    """Return the next step, which maximises a quadratic model of the gain.

    The model gain(s) = promised s / step - (promised - gained) (s / step)^2 is largest at
    s = step promised / (2 (promised - gained)).
    """
    if not promised > 0:
        return step
    factor = promised / max(2 * (promised - gained), promised / (2 * _MOST_FACTOR))
    changed = step * np.clip(factor, _LEAST_FACTOR, _MOST_FACTOR)
    return float(np.clip(changed, base * _LEAST_SCALE, base * _MOST_SCALE))


def _solved(
    ilqr: ILQR,
    dynamics: Model,
    start: NDArray[np.float64],
    controls: NDArray[np.float64],
    cost: PolicyCost | None,
    P: NDArray[np.float64],
    eta: float,
) -> Controller:
    """Return the controller of one multiplier, or without a constraint if ``cost`` is None."""
    plan = ilqr.improve(dynamics, start, controls, cost)
    states = plan.states
    assert states is not None
    law = ilqr.feedback(dynamics, states, plan.controls, cost)
    precisions = law.precisions / eta
    away = np.zeros_like(plan.controls)
    price = 0.0
    if cost is None:
        precisions = precisions + P
    else:
        away = plan.controls - cost.means(states[:-1])
        price = float(cost.costs(states[None], plan.controls[None])[0])

    return Controller(
        states,
        plan.controls,
        law.gains,
        precisions,
        plan.expected_return + price,
        divergence(away, precisions, P),
        eta,
    )
