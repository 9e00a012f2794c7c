"""Weights and learning rates of CMA-ES (Hansen 2016, arXiv 1604.00772), with the constants of the
``cma`` package 4.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Coefficients:
    """Weights and learning rates for n parameters and lambda members.

    Attributes:
        weights: (lambda,) by rank; the positive ones sum to 1, the negative ones act on the
            covariance only.
        mu_eff: variance-effective selection mass of the positive weights.
        c_sigma, d_sigma: learning rate and damping of the step size.
        c_c, c_1, c_mu: learning rates of the path, of the rank-one and of the rank-mu update.
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
        """The defaults of ``cma`` 4.5; equation numbers are the tutorial's."""
        raw = math.log((population_size + 1) / 2) - np.log(
            np.arange(1, population_size + 1)
        )  # eq. 49
        positive, negative = np.maximum(raw, 0), np.minimum(raw, 0)
        weights = positive / positive.sum()
        mu_eff = 1 / float(np.sum(weights**2))  # eq. 8
        c_1 = min(1, population_size / 6) * 2 / ((n + 1.3) ** 2 + mu_eff)  # eq. 57
        c_mu = min(1 - c_1, 2 * (mu_eff - 1.75 + 1 / mu_eff) / ((n + 2) ** 2 + mu_eff))  # eq. 58
        if active:
            share = -negative / negative.sum()  # sums to -1
            mu_eff_minus = 1 / float(np.sum(share**2))
            limits = (
                1 + c_1 / c_mu,
                (1 - c_1 - c_mu) / (n * c_mu),
                1 + 2 * mu_eff_minus / (mu_eff + 2),
            )  # eq. 50-52
            weights = weights + min(limits) * share
        c_sigma = min(0.5, (mu_eff + 2) / (n + mu_eff + 3))  # eq. 55, with +3 for the tutorial's +5
        inner = max(1.0, 3 * (1 - 0.5 ** (n / 9)))
        mirrors = (
            int(0.5 + 0.16 * min(population_size, 2 * n + 2) + 0.29) if population_size < 6 else 0
        )
        d_sigma = (
            0.5 + min(1.0, (mirrors / (0.159 * population_size) - 1) ** 2) / 2 + c_sigma
        )  # eq. 55
        d_sigma += 2 * max(0.0, inner * math.sqrt((mu_eff - 1) / (n + 1)) - 1)
        c_c = (4 + mu_eff / n) / (n + 4 + 2 * mu_eff / n)  # eq. 56
        return cls(weights, mu_eff, c_sigma, d_sigma, c_c, c_1, c_mu)


def expected_length(n: int) -> float:
    """E|N(0, I)| in n dimensions, exact."""
    return math.sqrt(2) * math.exp(math.lgamma((n + 1) / 2) - math.lgamma(n / 2))
