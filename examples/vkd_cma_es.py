"""vkd-cma-es where every variable has another unit, and one valley follows no axis: it learns both,
where sep-cma-es learns the units and lm-ma-es the valley.

Run: python vkd_cma_es.py, or with all cores: mpirun -n 8 python vkd_cma_es.py
"""

import numpy as np
from numpy.typing import NDArray

import esengine

DIMENSION = 60
UNITS = 10 ** np.linspace(0, 2, DIMENSION)
START = np.ones(DIMENSION)


def cost(x: NDArray[np.float64]) -> float:
    """Steep in all directions, except when all variables grow together, each in its unit."""
    y = UNITS * (x + 1)
    along = float(np.sum(y)) ** 2 / DIMENSION
    return along + 1e4 * (float(np.sum(y**2)) - along)


def main(evaluations: int = 40_000) -> dict[str, float]:
    """Minimise with all three; returns the best cost of each over the start's."""
    shares = {}
    for method in ("vkd-cma-es", "sep-cma-es", "lm-ma-es"):
        result = esengine.minimize(
            cost,
            dimension=DIMENSION,
            method=method,
            population_size=16,
            initial_mean=START,
            generations=evaluations // 16,
        )
        assert result.best_value is not None
        shares[method] = result.best_value / cost(START)
        print(f"{method:10} {shares[method]:.1e} of the start's cost")
    return shares


if __name__ == "__main__":
    main()
