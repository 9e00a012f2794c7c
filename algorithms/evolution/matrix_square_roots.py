"""Square roots of covariance matrices: A with A A^T = C."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BLOCK = 64  # columns whose own triangle is factored at once


def cholesky_factor(C: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lower triangular A of a symmetric matrix (n, n), computed in blocks of columns.

    NumPy's function copies a large matrix along its columns twice, which takes longer than the
    factorisation.

    Raises:
        LinAlgError: C is not positive definite, by a rounding error or otherwise.
    """
    n = len(C)
    if n <= 2 * _BLOCK:
        return np.asarray(np.linalg.cholesky(C))

    A = np.zeros((n, n))
    for low in range(0, n, _BLOCK):
        high = min(low + _BLOCK, n)
        rest = C[low:, low:high] - A[low:, :low] @ A[low:high, :low].T
        triangle = np.linalg.cholesky(rest[: high - low])
        A[low:high, low:high] = triangle
        A[high:, low:high] = rest[high - low :] @ np.linalg.inv(triangle).T
    return A


def eigenbasis(C: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return B (n, n) and D (n,), ascending, with C = B diag(D^2) B^T.

    Axes shorter than 3e-8 times the longest one are lengthened to that.
    """
    eigenvalues, basis = np.linalg.eigh(C)
    return np.asarray(basis), np.sqrt(np.maximum(eigenvalues, eigenvalues[-1] * 1e-15))


def square_root(
    C: NDArray[np.float64], basis: tuple[NDArray[np.float64], NDArray[np.float64]] | None
) -> tuple[NDArray[np.float64], bool]:
    """Return A, (n, n), and whether it is triangular.

    If C is not positive definite, by a rounding error, A is made of its eigenbasis instead.

    Args:
        C: (n, n).
        basis: what `eigenbasis` returned for C, or None.
    """
    try:
        return cholesky_factor(C), True
    except np.linalg.LinAlgError:
        B, D = eigenbasis(C) if basis is None else basis
        return np.asarray(B * D), False
