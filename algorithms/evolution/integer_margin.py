"""The margin of CMA-ES for whole numbers (Hamano, Saito, Nomura, Shirakawa 2022, arXiv 2205.13482;
equations in its section 4).

Where a standard deviation is small beside 1, all members round to one whole number and nothing more
is learned of it. So after each update the mean and a factor on each deviation are moved until
another whole number keeps a probability of at least alpha = 1 / (n lambda), or alpha / 2 on either
side. The factor widens what is sampled, not what is learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from esengine.problems.search_space import Lattice, SearchSpace

Floats = NDArray[np.float64]

_NORMAL = NormalDist()
_cdf = np.vectorize(_NORMAL.cdf, otypes=[np.float64])
_quantile = np.vectorize(_NORMAL.inv_cdf, otypes=[np.float64])


@dataclass(frozen=True)
class Margin:
    """Keeps whole numbers within reach.

    Attributes:
        lattice: which parameters are whole numbers.
        alpha: least probability of leaving the whole number that the mean rounds to.
    """

    lattice: Lattice
    alpha: float

    def corrected(self, mean: Floats, deviations: Floats, factors: Floats) -> tuple[Floats, Floats]:
        """Mean and factors, (n,) each, moved where the margin asks for it.

        Args:
            mean: (n,).
            deviations: (n,) standard deviation of every parameter, without the factors.
            factors: (n,) on the deviations.
        """
        where, unit = self.lattice.indices, self.lattice.scales
        m, s = mean[where] * unit, deviations[where] * unit
        low, high = self._thresholds(m)
        m_new, s_new = _moved(m, s * factors[where], low, high, self.alpha)
        mean, factors = mean.copy(), factors.copy()
        mean[where], factors[where] = m_new / unit, s_new / s
        return mean, factors

    def _thresholds(self, m: Floats) -> tuple[Floats, Floats]:
        """Where rounding changes next to ``m``, below and above; one of the two for the least and
        the greatest number.
        """
        number = np.clip(np.floor(m + 0.5), self.lattice.lowest, self.lattice.highest)
        low, high = number - 0.5, number + 0.5
        at_least, at_most = number == self.lattice.lowest, number == self.lattice.highest
        return np.where(at_least & ~at_most, high, low), np.where(at_most & ~at_least, low, high)


def margin_of(space: SearchSpace, population_size: int) -> Margin | None:
    """The paper's margin for a space with whole numbers, or None."""
    lattice = space.lattice
    return (
        Margin(lattice, 1 / (space.dimension * population_size)) if lattice.indices.size else None
    )


def _moved(m: Floats, s: Floats, low: Floats, high: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Means and deviations, (num_whole,) each, with the probabilities that the margin asks for
    beyond the thresholds.
    """
    at_edge = (
        low == high
    )  # one threshold: the least or the greatest number, where the mean alone moves
    reach = -_NORMAL.inv_cdf(min(alpha, 0.5)) * s  # within it of a threshold, alpha lies beyond
    m_edge = low + np.clip(m - low, -reach, reach)
    p_low, p_high = _cdf((low - m) / s), _cdf((m - high) / s)
    p_mid = 1 - p_low - p_high
    wanting = ~at_edge & (np.minimum(np.minimum(p_low, p_high), p_mid) < alpha / 2)
    p_low, p_high, p_mid = (np.maximum(p, alpha / 2) for p in (p_low, p_high, p_mid))
    total = p_low + p_mid + p_high
    share = (1 - total) / (total - 1.5 * alpha)  # taken from what is above the margin
    q_low, q_high = (
        -_quantile(np.clip(p + share * (p - alpha / 2), 1e-10, 0.5 - 1e-10))
        for p in (p_low, p_high)
    )
    s_inside = (high - low) / (q_low + q_high)
    m_inside = (low * q_high + high * q_low) / (q_low + q_high)
    return np.where(at_edge, m_edge, np.where(wanting, m_inside, m)), np.where(wanting, s_inside, s)
