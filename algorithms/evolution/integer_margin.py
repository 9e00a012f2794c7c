"""The margin of CMA-ES for integer variables (Hamano, Saito, Nomura, Shirakawa 2022, arXiv
2205.13482, section 4).

If a standard deviation is small compared with 1, all members round to the same integer, and the
search learns nothing more about that variable. So after each update the margin moves the mean, and
a factor on each deviation, until other integers have a probability of at least
alpha = 1 / (n lambda), or alpha / 2 on either side. The factor widens what is sampled, but does not
enter the update of the distribution.
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
    """The margin of one search space.

    Attributes:
        lattice: which parameters are integers.
        alpha: least probability of an integer other than the one that the mean rounds to.
    """

    lattice: Lattice
    alpha: float

    def corrected(self, mean: Floats, deviations: Floats, factors: Floats) -> tuple[Floats, Floats]:
        """Return the mean and the factors, (n,) each, moved where the margin requires it.

        Args:
            mean: (n,).
            deviations: (n,) standard deviation of every parameter, without the factors.
            factors: (n,) on the deviations.
        """
        where = self.lattice.indices
        unit = self.lattice.scales
        m = mean[where] * unit
        s = deviations[where] * unit
        low, high = self._thresholds(m)
        m_new, s_new = _moved(m, s * factors[where], low, high, self.alpha)

        mean = mean.copy()
        factors = factors.copy()
        mean[where] = m_new / unit
        factors[where] = s_new / s
        return mean, factors

    def _thresholds(self, m: Floats) -> tuple[Floats, Floats]:
        """Return where rounding changes next to ``m``, below and above.

        The two are equal at the lowest and at the highest integer, where there is only one.
        """
        number = np.clip(np.floor(m + 0.5), self.lattice.lowest, self.lattice.highest)
        low = number - 0.5
        high = number + 0.5
        at_lowest = number == self.lattice.lowest
        at_highest = number == self.lattice.highest
        return (
            np.where(at_lowest & ~at_highest, high, low),
            np.where(at_highest & ~at_lowest, low, high),
        )


def margin_of(space: SearchSpace, population_size: int) -> Margin | None:
    """Return the paper's margin for a space with integer variables, or None."""
    if not space.lattice.indices.size:
        return None
    return Margin(space.lattice, 1 / (space.dimension * population_size))


def _moved(m: Floats, s: Floats, low: Floats, high: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Return means and deviations with which the probabilities beyond the thresholds are large
    enough.

    Args:
        m, s: (num_integers,) means and deviations.
        low, high: (num_integers,) thresholds of rounding.
        alpha: least probability of leaving the integer.
    """
    # One threshold: only the mean moves, until alpha lies beyond the threshold
    at_edge = low == high
    reach = -_NORMAL.inv_cdf(min(alpha, 0.5)) * s
    m_edge = low + np.clip(m - low, -reach, reach)

    # Two thresholds: probabilities below, between and above, raised to alpha / 2
    p_low = _cdf((low - m) / s)
    p_high = _cdf((m - high) / s)
    p_mid = 1 - p_low - p_high
    wanting = ~at_edge & (np.minimum(np.minimum(p_low, p_high), p_mid) < alpha / 2)
    p_low, p_high, p_mid = (np.maximum(p, alpha / 2) for p in (p_low, p_high, p_mid))

    # What was added is taken from the probabilities above alpha / 2
    total = p_low + p_mid + p_high
    share = (1 - total) / (total - 1.5 * alpha)
    q_low, q_high = (
        -_quantile(np.clip(p + share * (p - alpha / 2), 1e-10, 0.5 - 1e-10))
        for p in (p_low, p_high)
    )
    s_inside = (high - low) / (q_low + q_high)
    m_inside = (low * q_high + high * q_low) / (q_low + q_high)
    return np.where(at_edge, m_edge, np.where(wanting, m_inside, m)), np.where(wanting, s_inside, s)
