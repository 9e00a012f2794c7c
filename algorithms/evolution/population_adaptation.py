"""Adapting the population size of CMA-ES to noise and multimodality (PSA-CMA-ES: Nishida, Akimoto
2018, doi 10.1145/3205455.3205467).

A path accumulates the changes of the distribution in its own metric, each divided by the length
that it would have under random selection. If successive changes agree, the path is long and the
population shrinks, down to its first size. If they contradict each other, as under noise, it grows.
The step size changes with the best one for the population.

Three things differ from the paper. Negative weights keep their part in the update, and in the
expected length. The square root of the covariance matrix is that of the last decomposition. And
where the share of noise in the differences of fitness is measured, the population grows only in
proportion to it: without noise, the paths of a search on a sphere of 20 parameters are long enough
for a population of 18 times the default alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import Coefficients, expected_length
from esengine.algorithms.saved_state import SavedState
from esengine.checks import one_of

_ALPHA = 1.4  # squared length of the path above which the population shrinks
_BETA = 0.4  # learning rate of the path
_MOST = 128  # times the first population; the paper's 512 is for longer runs
_NORMAL = NormalDist()


@dataclass(frozen=True)
class PopulationSettings:
    """The setting of the adaptation of the population size."""

    adapt_population: Literal["auto", "on", "off"] = "auto"
    """Adapt the population size to noise and to many optima, from --population-size up. auto does
    so where --noise finds the fitness noisy.
    """

    def check_adaptation(self) -> None:
        """Raises UserError for an unknown value."""
        choices = ("auto", "on", "off")
        one_of("--adapt-population", self.adapt_population, choices, "auto looks at the noise")

    def for_noise(self, is_noisy: bool) -> Self:
        """The same settings with auto replaced, for an objective with or without noise."""
        if self.adapt_population != "auto":
            return self
        return replace(self, adapt_population="on" if is_noisy else "off")


class PopulationAdaptation(SavedState):
    """The path, and the population size as a real number.

    Args:
        n: number of parameters.
        population_size: the first and smallest lambda.

    Attributes:
        size: lambda, not rounded.
        mean_path: (n,) part of the path that belongs to the mean.
        matrix_path: (n, n) part that belongs to the covariance matrix.
    """

    saved = ("size", "mean_path", "matrix_path", "_gamma", "_gamma_sigma", "_gamma_c")

    def __init__(self, n: int, population_size: int) -> None:
        self._least = population_size
        self.size = float(population_size)
        self.mean_path = np.zeros(n)
        self.matrix_path = np.zeros((n, n))
        self._gamma = 0.0  # of the path: its squared length under random selection
        self._gamma_sigma = 0.0  # of p_sigma, divided by n
        self._gamma_c = 0.0  # of p_c, divided by n

    def adapt(
        self,
        k: Coefficients,
        h_sigma: bool,
        mean_change: NDArray[np.float64],
        matrix_change: NDArray[np.float64],
        reliability: float | None = None,
    ) -> int:
        """Return the next population size.

        Args:
            k: the coefficients of the generation.
            h_sigma: whether p_c followed the mean.
            mean_change: (n,) of the mean, in units of the old distribution.
            matrix_change: (n, n) of the covariance matrix, in the same units.
            reliability: of fitness, 1 without noise; None if it is not measured.
        """
        self._gamma_sigma = _normalised(self._gamma_sigma, k.c_sigma)
        self._gamma_c = (1 - k.c_c) ** 2 * self._gamma_c + h_sigma * k.c_c * (2 - k.c_c)
        self._gamma = _normalised(self._gamma, _BETA)

        scale = math.sqrt(_BETA * (2 - _BETA) / self._expected(k))
        self.mean_path = (1 - _BETA) * self.mean_path + scale * mean_change
        change = scale / math.sqrt(2) * matrix_change
        self.matrix_path = (1 - _BETA) * self.matrix_path + change

        length = float(np.sum(self.mean_path**2) + np.sum(self.matrix_path**2))
        noise = 1.0 if reliability is None else min(1.0, 2 * (1 - reliability))
        self.size *= math.exp(_BETA * (noise * self._gamma - length / _ALPHA))
        self.size = float(min(max(self.size, self._least), _MOST * self._least))
        return round(self.size)

    def _expected(self, k: Coefficients) -> float:
        """Return the expected squared length of a change under random selection (eq. 12)."""
        n = self.mean_path.size
        chi2 = expected_length(n) ** 2
        positive = np.maximum(k.weights, 0)
        rate = (k.c_sigma / k.d_sigma) ** 2
        spread = (n - chi2) / chi2 * self._gamma_sigma * rate

        of_matrix = (n * n + n) * k.c_mu**2 * float(np.sum(k.weights**2))
        both = k.c_c * (2 - k.c_c) * k.c_1 * k.c_mu * k.mu_eff
        of_matrix += (n * n + n) * both * float(np.sum(positive**3))
        gamma = self._gamma_c
        of_matrix += k.c_1**2 * (gamma**2 * n * n + (1 - 2 * gamma + 2 * gamma**2) * n)
        return n / k.mu_eff + 2 * n * spread + (1 + 8 * spread) / 2 * of_matrix


def best_step_size(n: int, k: Coefficients) -> float:
    """Return the step size that is best on a sphere for a population, in units of its radius over
    n; expected order statistics by Blom's formula.
    """
    size = k.weights.size
    positive = np.maximum(k.weights, 0)
    ranks = (np.arange(1, size + 1) - 0.375) / (size + 0.25)
    gain = -float(positive @ np.array([_NORMAL.inv_cdf(rank) for rank in ranks.tolist()]))
    return gain * n * k.mu_eff / (n - 1 + gain**2 * k.mu_eff)


def _normalised(gamma: float, rate: float) -> float:
    return (1 - rate) ** 2 * gamma + rate * (2 - rate)
