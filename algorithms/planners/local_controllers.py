"""Local controllers for guided policy search: linear feedback along a trajectory, kept near a
policy (Levine, Koltun 2013).

A controller p(u | x) = N(u_t + K_t (x - x_t), Sigma_t) has the least cost under the constraint that
its divergence from the policy pi, a normal distribution of a fixed covariance about the policy's
action, is at most epsilon a step (Montgomery, Levine 2016, arXiv 1607.04614, the C-step). Its
Lagrangian with the multiplier eta, c(x, u) + eta / 2 (u - mu_pi(x))' P (u - mu_pi(x)) - eta H(p),
is solved by iLQR; the entropy makes Sigma_t = eta Q_uu^-1. The smallest eta that keeps the
constraint is found by bisection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.ilqr import ILQR
from esengine.algorithms.planners.quadratic_expansion import Expansion
from esengine.policies.network import Actor, forward_reference
from esengine.simulators.dynamics import ObservableDynamics

_LEAST_ETA, _MOST_ETA = 1e-3, 1e4  # in units of return a nat
_BISECTIONS = 8
_STEP = 1e-4  # of coordinates, for the policy's derivatives; observations have float32's precision


class Controller(NamedTuple):
    """A local controller.

    Attributes:
        states: (num_steps + 1, state_size) x_t.
        controls: (num_steps, num_controls) u_t.
        gains: (num_steps, num_controls, num_coordinates) K_t.
        precisions: (num_steps, num_controls, num_controls) the inverses of Sigma_t.
        expected_return: of the controls, without noise.
        divergence: from the policy, nats a step.
    """

    states: NDArray[np.float64]
    controls: NDArray[np.float64]
    gains: NDArray[np.float64]
    precisions: NDArray[np.float64]
    expected_return: float
    divergence: float

    def mean(self, step: int, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """The control for a state at a step, (num_controls,), not yet within bounds; the last one's
        goes on.
        """
        t, n = min(step, len(self.controls) - 1), self.gains.shape[2]
        control: NDArray[np.float64] = self.controls[t] + self.gains[t] @ (
            state[:n] - self.states[t, :n]
        )
        return control


@dataclass(frozen=True, eq=False)
class PolicyCost:
    """eta / 2 (u - mu(x))' P (u - mu(x)) at every step: the cost of leaving a policy, with what
    iLQR needs of it.

    Attributes:
        dynamics: tell observations.
        actor: the policy, whose action without noise is mu.
        precision: (num_controls, num_controls) P.
        eta: the multiplier.
    """

    dynamics: ObservableDynamics
    actor: Actor
    precision: NDArray[np.float64]
    eta: float

    def means(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """mu of each of ``states`` (n, state_size), (n, num_controls)."""
        spec, actor = self.actor.spec, self.actor
        sizes = np.array(spec.layer_sizes)
        scaling = (actor.observation_mean, actor.observation_inverse_std)
        outputs = forward_reference(
            actor.parameters, sizes, self.dynamics.observe(states), *scaling
        )
        means = spec.action.center() + spec.action.reach() * outputs.astype(np.float64)
        return np.clip(means, self.dynamics.low, self.dynamics.high)

    def add(
        self, expansion: Expansion, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> None:
        n, P = self.dynamics.num_coordinates, self.eta * self.precision
        J = self._jacobians(states[:-1])
        apart = (controls - self.means(states[:-1])) @ P
        expansion.gradients[:, :n] -= np.einsum("tij,ti->tj", J, apart)
        expansion.gradients[:, n:] += apart
        PJ = np.einsum("ij,tjk->tik", P, J)
        expansion.hessians[:, :n, :n] += np.einsum("tij,tik->tjk", J, PJ)
        expansion.hessians[:, n:, :n] -= PJ
        expansion.hessians[:, :n, n:] -= PJ.transpose(0, 2, 1)
        expansion.hessians[:, n:, n:] += P

    def costs(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        count, horizon, size = controls.shape
        apart = controls - self.means(states[:, :-1].reshape(count * horizon, -1)).reshape(
            count, horizon, size
        )
        costs: NDArray[np.float64] = (
            0.5 * self.eta * np.einsum("cti,ij,ctj->c", apart, self.precision, apart)
        )
        return costs

    def _jacobians(self, states: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives of mu by coordinates, (num_steps, num_controls, num_coordinates), by central
        differences.
        """
        n = self.dynamics.num_coordinates
        moved = np.repeat(states[:, None], 2 * n, axis=1)
        offsets = _STEP * np.concatenate([np.eye(n), -np.eye(n)])
        moved[:, :, :n] += offsets
        means = self.means(moved.reshape(-1, states.shape[1])).reshape(len(states), 2 * n, -1)
        jacobians: NDArray[np.float64] = ((means[:, :n] - means[:, n:]) / (2 * _STEP)).transpose(
            0, 2, 1
        )
        return jacobians


def divergence(
    mean_distances: NDArray[np.float64], precisions: NDArray[np.float64], P: NDArray[np.float64]
) -> float:
    """Mean over steps of KL(N(u, Sigma_t) || N(mu, P^-1)) in nats.

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
    dynamics: ObservableDynamics,
    start: NDArray[np.float64],
    controls: NDArray[np.float64],
    actor: Actor | None,
    P: NDArray[np.float64],
    kl_step: float,
) -> Controller:
    """The best controller from a state within ``kl_step`` nats a step of a policy.

    Where even a large multiplier does not keep the constraint, the controller of the largest is
    given.

    Args:
        ilqr: solves; its horizon is not used.
        dynamics: of the episode.
        start: (state_size,).
        controls: (num_steps, num_controls) to begin with.
        actor: the policy, or None: there is none yet, and nothing to stay near.
        P: (num_controls, num_controls) inverse covariance of the policy's distribution.
        kl_step: epsilon.
    """
    if actor is None:
        return _solved(ilqr, dynamics, start, controls, None, P, 1.0)
    low, high = math.log(_LEAST_ETA), math.log(_MOST_ETA)
    best = None
    for _ in range(_BISECTIONS):
        eta = math.exp((low + high) / 2)
        found = _solved(
            ilqr, dynamics, start, controls, PolicyCost(dynamics, actor, P, eta), P, eta
        )
        if found.divergence <= kl_step:
            best, high = found, math.log(eta)
        else:
            low = math.log(eta)
    return found if best is None else best


def _solved(
    ilqr: ILQR,
    dynamics: ObservableDynamics,
    start: NDArray[np.float64],
    controls: NDArray[np.float64],
    cost: PolicyCost | None,
    P: NDArray[np.float64],
    eta: float,
) -> Controller:
    """The controller of one multiplier."""
    plan = ilqr.improve(dynamics, start, controls, cost)
    assert plan.states is not None
    law = ilqr.feedback(dynamics, plan.states, plan.controls, cost)
    precisions = law.precisions / eta + (P if cost is None else 0.0)
    apart = (
        np.zeros_like(plan.controls)
        if cost is None
        else plan.controls - cost.means(plan.states[:-1])
    )
    price = 0.0 if cost is None else float(cost.costs(plan.states[None], plan.controls[None])[0])
    return Controller(
        plan.states,
        plan.controls,
        law.gains,
        precisions,
        plan.expected_return + price,
        divergence(apart, precisions, P),
    )
