"""Covariance matrices D (I + V^T diag(S) V) D of VkD-CMA (Akimoto, Hansen 2016, doi
10.1145/2908812.2908863).

D is diagonal, and the k rows of V are orthonormal. A learned matrix D (alpha^2 I + U U^T) D is
projected onto this form: the k longest axes of U U^T become V, all other axes get their mean
length, and then D is chosen so that the variance of every parameter is the learned one. The
functions do this for the columns of U, of which V spans some and the members' noise the others, and
for U U^T itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState

_LEAST = 1e-15  # squared length of an axis, as a share of the longest one's, that is more than 0


@dataclass(frozen=True)
class RestrictedRates:
    """The learning rates for a number of directions (constants of the ``cma`` package 4.5).

    Attributes:
        c_1, c_mu: of the rank-one and the rank-mu update.
        c_c: of the path p_c.
    """

    c_1: float
    c_mu: float
    c_c: float

    @classmethod
    def default(cls, n: int, k: int, mu_eff: float) -> RestrictedRates:
        """Return the defaults.

        Args:
            n: number of parameters.
            k: number of directions.
            mu_eff: variance-effective selection mass.
        """
        c_1 = 2 / (n * (k + 1) + n + 2 * (k + 2) + mu_eff)
        c_mu = 2 * (mu_eff - 2 + 1 / mu_eff) / (n * (k + 1) + 4 * (k + 2) + mu_eff)
        return cls(c_1, max(0.0, min(1 - c_1, c_mu)), float(np.sqrt(c_1)))


class RestrictedCovariance(SavedState):
    """A matrix D (I + V^T diag(S) V) D of determinant 1.

    Args:
        n: number of parameters.

    Attributes:
        D: (n,) float64, positive.
        V: (number of directions, n) float64, orthonormal.
        S: (number of directions,) float64, not negative.
    """

    saved = ("D", "V", "S")

    def __init__(self, n: int) -> None:
        self.D = np.ones(n)
        self.V = np.zeros((0, n))
        self.S = np.zeros(0)

    @property
    def stretches(self) -> NDArray[np.float64]:
        """sqrt(1 + S) - 1, by which (I + V^T diag(S) V)^(1/2) lengthens a vector along V."""
        return np.asarray(np.sqrt(1 + self.S) - 1)

    @property
    def log_variances(self) -> NDArray[np.float64]:
        """The logarithms of the diagonal of the matrix, (n,)."""
        return np.asarray(2 * np.log(self.D) + np.log1p(self.S @ self.V**2))

    def stretched(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (I + V^T diag(S) V)^(1/2) z, (n,)."""
        return np.asarray(z + (self.stretches * (self.V @ z)) @ self.V)

    def whitened(self, s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (I + V^T diag(S) V)^(-1/2) s, (n,)."""
        return np.asarray(s + ((1 / np.sqrt(1 + self.S) - 1) * (self.V @ s)) @ self.V)

    def become(
        self,
        alpha2: float,
        lengths: NDArray[np.float64],
        axes: NDArray[np.float64],
        rest: float,
        diagonal: NDArray[np.float64],
    ) -> float:
        """Project D (alpha^2 I + U U^T) D, and return the geometric mean of the standard deviations
        along its axes, by which the result was divided.

        Args:
            alpha2: alpha^2.
            lengths: the k largest eigenvalues of U U^T.
            axes: (k, n) their eigenvectors.
            rest: the mean of the other eigenvalues.
            diagonal: (n,) of U U^T.
        """
        n = self.D.size
        self.V = axes
        self.S = np.maximum(0.0, (lengths - rest) / (alpha2 + rest))
        self.D = self.D * np.sqrt((alpha2 + diagonal) / (1 + self.S @ self.V**2))
        scale = float(np.exp((np.sum(np.log(self.D)) + np.sum(np.log1p(self.S)) / 2) / n))
        self.D = self.D / scale
        return scale

    def keep(self, directions: NDArray[np.bool_]) -> None:
        """Forget the other directions."""
        self.V = self.V[directions]
        self.S = self.S[directions]


@dataclass(frozen=True)
class LongestAxes:
    """The longest axes of U U^T, where U = B^T W for some rows B.

    Attributes:
        lengths: (k,) the largest eigenvalues, in descending order.
        combinations: (k, num_rows) of the rows of B that are the eigenvectors.
        rest: the mean of the eigenvalues of the other n - k axes.
    """

    lengths: NDArray[np.float64]
    combinations: NDArray[np.float64]
    rest: float

    @classmethod
    def of(
        cls, W: NDArray[np.float64], products: NDArray[np.float64], n: int, k: int
    ) -> LongestAxes:
        """Return at most ``k`` axes.

        Args:
            W: (num_rows, number of columns of U).
            products: (num_rows, num_rows) B B^T.
            n: number of parameters, more than there are columns.
            k: number of directions.
        """
        gram = W.T @ products @ W
        lengths, vectors, rest = _longest((gram + gram.T) / 2, n, k)
        return cls(lengths, (vectors / np.sqrt(lengths)).T @ W.T, rest)


def longest_axes_of(
    matrix: NDArray[np.float64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the largest eigenvalues of U U^T, (at most k,), their eigenvectors as rows, and the
    mean of the other eigenvalues.
    """
    lengths, vectors, rest = _longest(matrix, len(matrix), k)
    return lengths, vectors.T, rest


def _longest(
    gram: NDArray[np.float64], n: int, k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return up to k eigenvalues in descending order, their eigenvectors as columns, and the mean
    of the other n - k ones.
    """
    eigenvalues, vectors = np.linalg.eigh(gram)
    count = min(k, int(np.sum(eigenvalues > _LEAST * max(eigenvalues[-1], 1e-300))))
    rest = float(np.sum(np.maximum(0.0, eigenvalues[: eigenvalues.size - count])))
    longest = slice(None, -count - 1, -1)
    return eigenvalues[longest], vectors[:, longest], rest / max(1, n - k)
