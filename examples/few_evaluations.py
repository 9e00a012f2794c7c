"""cma-es with a surrogate, for an objective that is a slow simulation: most members of a population
are ranked by a quadratic model, and few are evaluated.

Run: python few_evaluations.py, or with all cores: mpirun -n 5 python few_evaluations.py
"""

import time

import numpy as np
from numpy.typing import NDArray

import esengine

DIMENSION = 8
UNITS = 10 ** np.linspace(-2, 2, DIMENSION)
PAUSE_S = 0.05


def cost(x: NDArray[np.float64]) -> float:
    """A design far from its best, with parameters in different units that depend on each other."""
    time.sleep(PAUSE_S)
    y = np.cumsum(x - 1)
    return float(np.sum(UNITS * y**2))


def main(evaluations: int = 250) -> dict[str, float]:
    """Minimise with and without the surrogate; returns the best cost of each."""
    costs = {}
    for surrogate in ("none", "lq"):
        result = esengine.minimize(
            cost,
            dimension=DIMENSION,
            method="cma-es",
            surrogate=surrogate,
            surrogate_batch=4 if surrogate == "lq" else 1,
            max_evaluations=evaluations,
        )
        assert result.best_value is not None
        costs[surrogate] = result.best_value
        print(f"--surrogate {surrogate:4}  best cost {costs[surrogate]:.1e}")
    return costs


if __name__ == "__main__":
    main()
