"""A cost with condition number 10^6, its minimum away from the start: run by ``--objective
examples.ellipsoid:cost``.
"""

import numpy as np
from numpy.typing import NDArray


def cost(x: NDArray[np.float64]) -> float:
    """The sum of 10^(6 i / (n - 1)) (x_i - optimum_i)^2, whose optimum runs from -2 to 2."""
    scales = 10 ** (6 * np.arange(x.size) / (x.size - 1))
    return float(np.sum(scales * (x - np.linspace(-2, 2, x.size)) ** 2))
