"""Weights and learning rates of CMA-ES (Hansen 2016, arXiv 1604.00772).

The constants are those of the ``cma`` package 4.5; equation numbers are the tutorial's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Coefficients:
    """The weights and learning rates for n parameters and lambda members.

    Attributes:
        weights: (lambda,) by rank, best first. The positive ones sum to 1. The negative ones act on
            the covariance matrix only.
        mu_eff: variance-effective selection mass of the positive weights.
        c_sigma, d_sigma: learning rate and damping of the step size.
        c_c, c_1, c_mu: learning rates of the path p_c, the rank-one and the rank-mu update.
    """

    weights: NDArray[np.float64]
    mu_eff: float
    c_sigma: float
    d_sigma: float
    c_c: float
    c_1: float
    c_mu: float

    @classmethod
    def default(cls, n: int, population_size: int, active: bool) -> Coefficients:
        """Return the defaults of ``cma`` 4.5.

        Args:
            n: number of parameters.
            population_size: lambda.
            active: whether the worse half of the members has negative weights.
        """
        lambda_ = population_size

        # Selection and recombination
        raw = math.log((lambda_ + 1) / 2) - np.log(np.arange(1, lambda_ + 1))  # eq. 49
        positive = np.maximum(raw, 0)
        negative = np.minimum(raw, 0)
        weights = positive / positive.sum()
        mu_eff = 1 / float(np.sum(weights**2))  # eq. 8

        # Step-size control
        c_sigma = min(0.5, (mu_eff + 2) / (n + mu_eff + 3))  # eq. 55, with +3 for the tutorial's +5
        inner = max(1.0, 3 * (1 - 0.5 ** (n / 9)))
        mirrors = int(0.5 + 0.16 * min(lambda_, 2 * n + 2) + 0.29) if lambda_ < 6 else 0
        d_sigma = 0.5 + min(1.0, (mirrors / (0.159 * lambda_) - 1) ** 2) / 2 + c_sigma  # eq. 55
        d_sigma += 2 * max(0.0, inner * math.sqrt((mu_eff - 1) / (n + 1)) - 1)

        # Covariance matrix adaptation
        c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)  # eq. 56
        c_1 = min(1, lambda_ / 6) * 2 / ((n + 1.3) ** 2 + mu_eff)  # eq. 57
        c_mu = min(1 - c_1, 2 * (mu_eff - 1.75 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))  # eq. 58
        if active:
            share = -negative / negative.sum()  # sums to -1
            mu_eff_minus = 1 / float(np.sum(share**2))
            alpha_mu = 1 + c_1 / c_mu  # eq. 50
            alpha_mu_eff = 1 + 2 * mu_eff_minus / (mu_eff + 2)  # eq. 51
            alpha_pos_def = (1 - c_1 - c_mu) / (n * c_mu)  # eq. 52
            weights = weights + min(alpha_mu, alpha_mu_eff, alpha_pos_def) * share  # eq. 53

        return cls(weights, mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu)


def default_population_size(n: int) -> int:
    """Return lambda = 4 + floor(3 ln n) for n parameters (eq. 48)."""
    return 4 + int(3 * math.log(n))


def expected_length(n: int) -> float:
    """Return E|N(0, I)| in n dimensions, exactly."""
    return math.sqrt(2) * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))
