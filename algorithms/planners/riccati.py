"""The backward pass of iLQR: compiled kernels that solve a linear-quadratic problem with bounded
controls from its end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.quadratic_expansion import Expansion
from esengine.compiled import kernel

_NEWTON_STEPS = 20
_LEAST_PIVOT = 1e-12


class Feedback(NamedTuple):
    """Linear feedback along a trajectory.

    Attributes:
        openings: (horizon, num_controls) k, the change of each control.
        gains: (horizon, num_controls, num_coordinates) K: a control also changes by K times the
            change of the coordinates.
        precisions: (horizon, num_controls, num_controls) Q_uu.
    """

    openings: NDArray[np.float64]
    gains: NDArray[np.float64]
    precisions: NDArray[np.float64]

    @classmethod
    def none(cls, horizon: int, num_coordinates: int, num_controls: int) -> Feedback:
        """Return the feedback that changes nothing."""
        return cls(
            np.zeros((horizon, num_controls)),
            np.zeros((horizon, num_controls, num_coordinates)),
            np.zeros((horizon, num_controls, num_controls)),
        )


def backward(
    expansion: Expansion,
    controls: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    regularization: float,
) -> Feedback | None:
    """Return the linear-quadratic solution around a trajectory, or None if a Q_uu is not positive
    definite.

    Args:
        expansion: derivatives along the trajectory; the Hessians are positive semidefinite.
        controls: (horizon, num_controls) of the trajectory.
        low, high: (num_controls,) bounds; a control at its bound gets no feedback.
        regularization: added to the diagonal of Q_uu before it is inverted.
    """
    horizon, m = controls.shape
    feedback = Feedback.none(horizon, expansion.jacobians.shape[1], m)
    arrays = [np.ascontiguousarray(array) for array in (*expansion, controls)]
    return feedback if solve_backward(*arrays, low, high, regularization, *feedback) else None


@kernel
def solve_backward(
    jacobians: NDArray[np.float64],
    gradients: NDArray[np.float64],
    hessians: NDArray[np.float64],
    controls: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    regularization: float,
    openings: NDArray[np.float64],
    gains: NDArray[np.float64],
    precisions: NDArray[np.float64],
) -> bool:
    """Write the feedback; return False if some Q_uu is not positive definite.

    Letters are those of Tassa et al. 2014, equations 5 and 11; z is (x, u).
    """
    horizon, m = controls.shape
    n = jacobians.shape[1]
    v = np.zeros((n, 1))  # V_x, the gradient of the cost to go
    V = np.zeros((n, n))  # V_xx, its Hessian
    q = np.zeros((n + m, 1))
    Q = np.zeros((n + m, n + m))
    Vf = np.zeros((n, n + m))
    G = np.zeros((m, n))
    g = np.zeros((m, 1))
    H = np.zeros((m, m))
    free = np.ones(m, np.bool_)

    for t in range(horizon - 1, -1, -1):
        f = jacobians[t]
        k = openings[t]
        K = gains[t]
        Q_uu = precisions[t]

        # The cost of this step and all after it (eq. 5)
        q[:, 0] = gradients[t]
        _add_product(f, v, q)  # Q_z = c_z + f_z' V_x
        Vf[:] = 0.0
        _add_product(V, f, Vf)
        Q[:] = hessians[t]
        _add_product(f, Vf, Q)  # Q_zz = c_zz + f_z' V_xx f_z
        Q_uu[:] = Q[n:, n:]

        # The control that minimises it within the bounds, and its feedback
        H[:] = Q_uu
        for i in range(m):
            H[i, i] += regularization
        if not solve_bounded(H, q[n:, 0], low - controls[t], high - controls[t], k, free):
            return False
        K[:] = -Q[n:, :n]
        if not _solve_free(H, free, K):
            return False

        # The cost to go (eq. 11)
        g[:] = q[n:]
        _add_product(Q_uu, k.reshape(m, 1), g)
        v[:] = q[:n]
        _add_product(K, g, v)
        _add_product(Q[n:, :n], k.reshape(m, 1), v)  # V_x = Q_x + K' (Q_u + Q_uu k) + Q_xu k
        G[:] = Q[n:, :n]
        _add_product(Q_uu, K, G)
        V[:] = Q[:n, :n]
        _add_product(K, G, V)
        _add_product(Q[n:, :n], K, V)  # V_xx = Q_xx + K' (Q_ux + Q_uu K) + Q_xu K
        V[:] = 0.5 * (V + V.T)
    return True


@kernel
def _add_product(A: NDArray[np.float64], B: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """``out += A' B``; Numba's own product would need SciPy."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            total = out[i, j]
            for k in range(A.shape[0]):
                total += A[k, i] * B[k, j]
            out[i, j] = total


@kernel
def solve_bounded(
    H: NDArray[np.float64],
    g: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    x: NDArray[np.float64],
    free: NDArray[np.bool_],
) -> bool:
    """Minimise x H x / 2 + g x between bounds by projected Newton steps (Tassa et al. 2014, section
    III); return False if H is not positive definite.

    Args:
        H: (m, m).
        g: (m,).
        low, high: (m,) bounds.
        x: (m,) output, the minimum.
        free: (m,) output, whether each coordinate is away from its bounds.
    """
    m = g.size
    newton = np.empty((m, 1))
    moved = np.empty(m)
    for i in range(m):
        x[i] = min(max(0.0, low[i]), high[i])

    for _ in range(_NEWTON_STEPS):
        # Coordinates that the gradient pushes into their bound are fixed
        for i in range(m):
            gradient = g[i]
            for j in range(m):
                gradient += H[i, j] * x[j]
            free[i] = not ((x[i] <= low[i] and gradient > 0) or (x[i] >= high[i] and gradient < 0))
            newton[i, 0] = -gradient

        # Newton step of the free coordinates
        slope = 0.0
        before = newton[:, 0].copy()
        if not _solve_free(H, free, newton):
            return False
        for i in range(m):
            slope -= before[i] * newton[i, 0]
        if slope > -1e-24:
            return True

        # Line search, projected on the bounds
        value = _value(H, g, x)
        length = 2.0
        while length == 2.0 or (
            _value(H, g, moved) > value + 0.1 * length * slope and length > 1e-6
        ):
            length *= 0.5
            for i in range(m):
                moved[i] = min(max(x[i] + length * newton[i, 0], low[i]), high[i])
        if (moved == x).all():
            return True
        x[:] = moved
    return True


@kernel
def _value(H: NDArray[np.float64], g: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    total = 0.0
    for i in range(g.size):
        total += g[i] * x[i]
        for j in range(g.size):
            total += 0.5 * x[i] * H[i, j] * x[j]
    return total


@kernel
def _solve_free(
    H: NDArray[np.float64], free: NDArray[np.bool_], right: NDArray[np.float64]
) -> bool:
    """Overwrite ``right`` (m, columns) by the solution of H x = right in the free rows, and by 0 in
    the others; return False if the free part of H is not positive definite.
    """
    # Cholesky decomposition of the free part
    m = free.size
    L = np.eye(m)
    for i in range(m):
        for j in range(i + 1):
            if not (free[i] and free[j]):
                continue  # keep the identity
            total = H[i, j]
            for k in range(j):
                total -= L[i, k] * L[j, k]
            if i == j and not total > _LEAST_PIVOT:
                return False
            L[i, j] = np.sqrt(total) if i == j else total / L[j, j]

    # Forward and backward substitution
    for column in range(right.shape[1]):
        for i in range(m):
            total = right[i, column] if free[i] else 0.0
            for k in range(i):
                total -= L[i, k] * right[k, column]
            right[i, column] = total / L[i, i]
        for i in range(m - 1, -1, -1):
            total = right[i, column]
            for k in range(i + 1, m):
                total -= L[k, i] * right[k, column]
            right[i, column] = total / L[i, i]
    return True
