"""First and second derivatives of dynamics along a trajectory: a dynamics' own, or by differences,
all steps in one batch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from esengine.simulators.dynamics import Dynamics


class Expansion(NamedTuple):
    """Of every step, with n coordinates x and m controls u together z = (x, u); costs are minus
    rewards.

    Attributes:
        jacobians: (horizon, n, n + m) of the next coordinates by z.
        gradients: (horizon, n + m) of the cost.
        hessians: (horizon, n + m, n + m) of the cost.
    """

    jacobians: NDArray[np.float64]
    gradients: NDArray[np.float64]
    hessians: NDArray[np.float64]


@runtime_checkable
class AnalyticDynamics(Dynamics, Protocol):
    """Dynamics that know their derivatives."""

    def expand(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Expansion:
        """The derivatives at each of ``states`` (horizon, state_size) under ``controls`` (horizon,
        num_controls).
        """


def expand(
    dynamics: Dynamics,
    states: NDArray[np.float64],
    controls: NDArray[np.float64],
    coordinate_step: float,
    control_step: float,
    cross_terms: bool,
) -> Expansion:
    """Derivatives by central differences, exact for linear dynamics and quadratic costs.

    Where a control is at its bound the differences are taken just inside, since an environment
    clips what lies outside.

    Args:
        dynamics: what is derived.
        states: (horizon, state_size).
        controls: (horizon, num_controls).
        coordinate_step: distance of coordinates.
        control_step: distance of controls, in halves of their range.
        cross_terms: also the mixed second derivatives, for which steps grow with the square of n +
            m.
    """
    n, m = dynamics.num_coordinates, controls.shape[1]
    size = n + m
    steps = np.concatenate(
        [np.full(n, coordinate_step), control_step * (dynamics.high - dynamics.low) / 2]
    )
    inside = np.clip(controls, dynamics.low + steps[n:], dynamics.high - steps[n:])
    axes = np.diag(steps)
    rows, columns = (
        np.triu_indices(size, 1) if cross_terms else (np.empty(0, int), np.empty(0, int))
    )
    both = axes[rows] + axes[columns]
    offsets = np.concatenate([np.zeros((1, size)), axes, -axes, both, -both])  # (num_offsets, size)
    points = np.repeat(states[:, None], len(offsets), axis=1)
    points[:, :, :n] += offsets[:, :n]
    moved = inside[:, None] + offsets[:, n:]
    transitions = dynamics.step(points.reshape(-1, states.shape[1]), moved.reshape(-1, m))
    after = transitions.states[:, :n].reshape(len(states), len(offsets), n)
    costs = -transitions.rewards.reshape(len(states), len(offsets))
    here, up, down = costs[:, :1], costs[:, 1 : 1 + size], costs[:, 1 + size : 1 + 2 * size]
    jacobians = (
        (after[:, 1 : 1 + size] - after[:, 1 + size : 1 + 2 * size]) / (2 * steps)[:, None]
    ).transpose(0, 2, 1)
    gradients = (up - down) / (2 * steps)
    hessians = np.zeros((len(states), size, size))
    diagonal = np.arange(size)
    hessians[:, diagonal, diagonal] = (up - 2 * here + down) / steps**2
    if cross_terms:
        forth, back = (
            costs[:, 1 + 2 * size : 1 + 2 * size + len(rows)],
            costs[:, 1 + 2 * size + len(rows) :],
        )
        alone = up[:, rows] + down[:, rows] + up[:, columns] + down[:, columns] - 2 * here
        mixed = (forth + back - alone) / (2 * steps[rows] * steps[columns])
        hessians[:, rows, columns] = hessians[:, columns, rows] = mixed
    gradients[:, n:] += np.einsum(
        "tij,tj->ti", hessians[:, n:, n:], controls - inside
    )  # back at the bound itself
    return Expansion(jacobians, gradients, hessians)


def convex(hessians: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest positive semidefinite matrices, (horizon, size, size)."""
    values, vectors = np.linalg.eigh(hessians)
    if (values >= 0).all():
        return hessians
    nearest: NDArray[np.float64] = np.einsum(
        "tik,tk,tjk->tij", vectors, np.maximum(values, 0), vectors
    )
    return nearest
