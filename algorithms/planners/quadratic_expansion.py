"""First and second derivatives of dynamics along a trajectory, analytic or by finite differences in
one batch of all steps.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from esengine.simulators.dynamics import Model


class Expansion(NamedTuple):
    """The derivatives at every step with respect to z = (x, u): n coordinates x and m controls u.

    Costs are negative rewards.

    Attributes:
        jacobians: (horizon, n, n + m) of the next coordinates.
        gradients: (horizon, n + m) of the cost.
        hessians: (horizon, n + m, n + m) of the cost.
    """

    jacobians: NDArray[np.float64]
    gradients: NDArray[np.float64]
    hessians: NDArray[np.float64]


@runtime_checkable
class AnalyticModel(Model, Protocol):
    """A model with analytic derivatives."""

    def expand(self, states: NDArray[np.float64], controls: NDArray[np.float64]) -> Expansion:
        """Return the derivatives at ``states`` (horizon, state_size) and ``controls`` (horizon,
        num_controls).
        """


def expand(
    dynamics: Model,
    states: NDArray[np.float64],
    controls: NDArray[np.float64],
    coordinate_step: float,
    control_step: float,
    cross_terms: bool,
) -> Expansion:
    """Return derivatives by central differences, exact for linear dynamics and quadratic costs.

    At a bound of a control the differences are taken just inside, because environments clip
    controls outside of their bounds.

    Args:
        dynamics: what the controls do.
        states: (horizon, state_size).
        controls: (horizon, num_controls).
        coordinate_step: step of coordinates.
        control_step: step of controls, relative to half their range.
        cross_terms: whether to compute the mixed second derivatives, for which the number of
            simulated steps grows with the square of n + m.
    """
    n = dynamics.num_coordinates
    m = controls.shape[1]
    size = n + m
    steps = np.concatenate(
        [np.full(n, coordinate_step), control_step * (dynamics.high - dynamics.low) / 2]
    )

    # Points around each step: at it, along each axis, and along pairs of axes
    axes = np.diag(steps)
    rows, columns = np.triu_indices(size if cross_terms else 0, 1)
    both = axes[rows] + axes[columns]
    offsets = np.concatenate([np.zeros((1, size)), axes, -axes, both, -both])  # (num_offsets, size)
    points = np.repeat(states[:, None], len(offsets), axis=1)
    points[:, :, :n] += offsets[:, :n]
    inside = np.clip(controls, dynamics.low + steps[n:], dynamics.high - steps[n:])
    moved = inside[:, None] + offsets[:, n:]

    # One batch of simulated steps
    transitions = dynamics.step(points.reshape(-1, states.shape[1]), moved.reshape(-1, m))
    after = transitions.states[:, :n].reshape(len(states), len(offsets), n)
    costs = -transitions.rewards.reshape(len(states), len(offsets))

    # First derivatives
    here, up, down, forth, back = np.split(costs, np.cumsum([1, size, size, len(rows)]), axis=1)
    slopes = (after[:, 1 : 1 + size] - after[:, 1 + size : 1 + 2 * size]) / (2 * steps)[:, None]
    jacobians = slopes.transpose(0, 2, 1)
    gradients = (up - down) / (2 * steps)

    # Second derivatives
    hessians = np.zeros((len(states), size, size))
    diagonal = np.arange(size)
    hessians[:, diagonal, diagonal] = (up - 2 * here + down) / steps**2
    if cross_terms:
        alone = up[:, rows] + down[:, rows] + up[:, columns] + down[:, columns] - 2 * here
        mixed = (forth + back - alone) / (2 * steps[rows] * steps[columns])
        hessians[:, rows, columns] = mixed
        hessians[:, columns, rows] = mixed

    # From the points inside back to the controls at a bound
    gradients[:, n:] += np.einsum("tij,tj->ti", hessians[:, n:, n:], controls - inside)
    return Expansion(jacobians, gradients, hessians)


def convex(hessians: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the nearest positive semidefinite matrices, (horizon, size, size)."""
    values, vectors = np.linalg.eigh(hessians)
    if (values >= 0).all():
        return hessians
    return np.einsum("tik,tk,tjk->tij", vectors, np.maximum(values, 0), vectors)
