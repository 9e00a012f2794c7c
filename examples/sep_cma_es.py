"""sep-cma-es in a thousand dimensions, where cma-es would keep a matrix of a million numbers.

Run: python sep_cma_es.py, or with all cores: mpirun -n 8 python sep_cma_es.py
"""

import time

import numpy as np
from numpy.typing import NDArray

import esengine

DIMENSION = 1000
SCALES = np.logspace(0, 4, DIMENSION)


def cost(x: NDArray[np.float64]) -> float:
    """An ellipsoid along the axes, ten thousand times steeper along the last than along the
    first.
    """
    return float(np.sum(SCALES * (x - 1) ** 2))


def main(generations: int = 1500) -> float:
    """Minimise; returns the best cost over the start's."""
    began = time.perf_counter()
    result = esengine.minimize(
        cost, dimension=DIMENSION, method="sep-cma-es", sigma=0.5, generations=generations
    )
    assert result.best_value is not None
    share = result.best_value / cost(np.zeros(DIMENSION))
    print(
        f"cost {result.best_value:.3g}, {share:.1e} of the start's, in "
        f"{time.perf_counter() - began:.1f} s"
    )
    return share


if __name__ == "__main__":
    main()
