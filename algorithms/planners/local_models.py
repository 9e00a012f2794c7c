"""Local models: time-varying linear dynamics and quadratic rewards, fitted to a few rollouts from
one start (Levine, Abbeel 2014, "Learning neural network policies with guided policy search under
unknown dynamics").

With z = (x, u), the model of step t is x' = F_t z + f_t, and the reward is a quadratic in z whose
cost is convex. Both are fitted by weighted least squares. A step s of the newest rollouts has the
weight exp(-(s - t)^2 / 2 w^2), since neighbouring steps are taken in neighbouring states. All
steps so far are the prior: together they weigh as much as a given number of samples at every t. In
the paper the prior is a mixture of normal distributions, and rewards are known functions.

Coordinates that depend on others, such as a sine and a cosine, hardly vary apart from them. The
fits use principal components, and leave out those without variance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.quadratic_expansion import Expansion, convex
from esengine.simulators.dynamics import Transitions

_REACH = 3.0  # of the weights, in window lengths
_RIDGE = 1e-3  # samples of a component without effect, in its variances
_LEAST_SCALE = 1e-8  # a coordinate that varies less is constant
_LEAST_VARIANCE = 1e-4  # of a principal component, relative to the largest one


class Samples(NamedTuple):
    """Steps of rollouts, n coordinates x and m controls u each.

    Attributes:
        times: (num_steps,) int64 steps before each one in its rollout.
        points: (num_steps, n + m) z = (x, u).
        nexts: (num_steps, n) x'.
        rewards: (num_steps,).
    """

    times: NDArray[np.int64]
    points: NDArray[np.float64]
    nexts: NDArray[np.float64]
    rewards: NDArray[np.float64]

    @classmethod
    def joined(cls, parts: list[Samples]) -> Samples:
        """All steps of several groups."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@dataclass(eq=False)
class LocalModel:
    """A `Model` whose states are coordinates and the step: (n + 1,).

    Args:
        low, high: (num_controls,) bounds of controls.
        centers: (horizon, n + m) z_t around which the model of each step is expanded.
        nexts: (horizon, n) what follows z_t.
        jacobians: (horizon, n, n + m) F_t.
        rewards: (horizon,) at z_t.
        slopes: (horizon, n + m) derivatives of the reward at z_t.
        hessians: (horizon, n + m, n + m) of the cost, positive semidefinite.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    centers: NDArray[np.float64]
    nexts: NDArray[np.float64]
    jacobians: NDArray[np.float64]
    rewards: NDArray[np.float64]
    slopes: NDArray[np.float64]
    hessians: NDArray[np.float64]
    smooth: bool = field(init=False, default=True)
    num_coordinates: int = field(init=False)
    state_size: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_coordinates = self.nexts.shape[1]
        self.state_size = self.num_coordinates + 1

    def step(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Transitions:
        t, away = self._away(states, controls)
        coordinates = self.nexts[t] + np.einsum("bij,bj->bi", self.jacobians[t], away)
        curvature = np.einsum("bi,bij,bj->b", away, self.hessians[t], away)
        rewards = self.rewards[t] + (self.slopes[t] * away).sum(axis=1) - 0.5 * curvature
        after = np.concatenate([coordinates, states[:, -1:] + 1], axis=1)
        return Transitions(after, rewards, np.zeros(len(states), np.bool_))

    def expand(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Expansion:
        """Return the derivatives, see `AnalyticModel`."""
        t, away = self._away(states, controls)
        gradients = np.einsum("bij,bj->bi", self.hessians[t], away) - self.slopes[t]
        return Expansion(self.jacobians[t], gradients, np.array(self.hessians[t]))

    def _away(
        self, states: NDArray[np.float64], controls: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The steps, at most the last one, and the distances of points from their centers."""
        t = np.minimum(states[:, -1].astype(np.int64), len(self.centers) - 1)
        return t, np.concatenate([states[:, :-1], controls], axis=1) - self.centers[t]


def fit_local_model(
    newest: Samples,
    earlier: Samples | None,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    window: float,
    prior: float,
) -> LocalModel:
    """Return the model of the newest rollouts.

    Args:
        newest: steps of the newest rollouts; the longest one is the model's horizon.
        earlier: steps of earlier rollouts, or None; they count in the prior alone.
        low, high: (num_controls,) bounds of controls.
        window: w, in steps.
        prior: number of samples that the steps of all rollouts weigh at every t.
    """
    every = newest if earlier is None else Samples.joined([newest, earlier])
    n = newest.nexts.shape[1]

    # Principal components of standardised coordinates
    middle = every.points.mean(axis=0)
    scale = every.points.std(axis=0)
    varies = scale > _LEAST_SCALE * (1 + np.abs(middle))
    inverse = np.where(varies, 1 / np.where(varies, scale, 1.0), 0.0)
    whole = (every.points - middle) * inverse
    variances, axes = np.linalg.eigh(whole.T @ whole / len(whole))
    axes = axes[:, variances > _LEAST_VARIANCE * variances[-1]] * inverse[:, None]

    def components(points: NDArray[np.float64]) -> NDArray[np.float64]:
        return (points - middle) @ axes

    # Both fits, in these components
    horizon = int(newest.times.max()) + 1
    centers = np.array([newest.points[newest.times == t].mean(axis=0) for t in range(horizon)])
    local = components(newest.points)
    whole = components(every.points)
    moved = newest.nexts - newest.points[:, :n]
    all_moved = every.nexts - every.points[:, :n]
    arguments = (newest.times, horizon, window, prior)
    linear = _fits(_linear(local), moved, _linear(whole), all_moved, *arguments)
    quadratic = _fits(
        _quadratic(local),
        newest.rewards[:, None],
        _quadratic(whole),
        every.rewards[:, None],
        *arguments,
    )[:, :, 0]

    # Dynamics
    at = components(centers)
    jacobians = np.einsum("tkn,pk->tnp", linear[:, 1:], axes)
    jacobians[:, np.arange(n), np.arange(n)] += 1
    nexts = centers[:, :n] + np.einsum("tp,tpn->tn", _linear(at), linear)

    # Rewards
    size = at.shape[1]
    rows, columns = np.triu_indices(size)
    second = np.zeros((horizon, size, size))
    second[:, rows, columns] = quadratic[:, 1 + size :]
    second = second + second.transpose(0, 2, 1)  # the diagonal is twice the coefficient
    first = quadratic[:, 1 : 1 + size] + np.einsum("tij,tj->ti", second, at)
    return LocalModel(
        low,
        high,
        centers,
        nexts,
        jacobians,
        (_quadratic(at) * quadratic).sum(axis=1),
        first @ axes.T,
        axes @ convex(-second) @ axes.T,
    )


def _linear(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.ones((len(points), 1)), points], axis=1)


def _quadratic(points: NDArray[np.float64]) -> NDArray[np.float64]:
    rows, columns = np.triu_indices(points.shape[1])
    return np.concatenate([_linear(points), points[:, rows] * points[:, columns]], axis=1)


def _fits(
    features: NDArray[np.float64],
    targets: NDArray[np.float64],
    all_features: NDArray[np.float64],
    all_targets: NDArray[np.float64],
    times: NDArray[np.int64],
    horizon: int,
    window: float,
    prior: float,
) -> NDArray[np.float64]:
    """Return the coefficients of each step, (horizon, num_features, num_targets).

    They minimise sum_s w_s |y_s - B' phi_s|^2 over the newest steps near t, plus the mean square
    over all steps times ``prior``.

    Args:
        features: (num_steps, num_features) phi of the newest steps.
        targets: (num_steps, num_targets) y.
        all_features, all_targets: of all steps.
        times: (num_steps,) of the newest steps.
        horizon, window, prior: see `fit_local_model`.
    """
    size = features.shape[1]
    share = prior / len(all_features)
    base = share * (all_features.T @ all_features)
    base[np.arange(1, size), np.arange(1, size)] += _RIDGE
    right = share * (all_features.T @ all_targets)

    order = np.argsort(times, kind="stable")
    found = np.empty((horizon, size, targets.shape[1]))
    for t in range(horizon):
        near = (np.array([-1, 1]) * _REACH * window) + t
        first, last = np.searchsorted(times[order], near)
        rows = order[first:last]
        weights = np.exp(-0.5 * ((times[rows] - t) / window) ** 2)
        weighted = features[rows] * weights[:, None]
        found[t] = np.linalg.solve(
            base + weighted.T @ features[rows], right + weighted.T @ targets[rows]
        )
    return found
