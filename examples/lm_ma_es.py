"""lm-ma-es in a valley that follows no axis: a few directions are learned, where sep-cma-es sees
one variable at a time.

Run: python lm_ma_es.py, or with all cores: mpirun -n 8 python lm_ma_es.py
"""

import numpy as np
from numpy.typing import NDArray

import esengine

DIMENSION = 40
START = np.arange(DIMENSION) / 10


def cost(x: NDArray[np.float64]) -> float:
    """A cigar: flat along (1, 1, ..., 1), ten thousand times steeper in all other directions."""
    along = float(np.sum(x)) ** 2 / DIMENSION
    return along + 1e4 * (float(np.sum(x**2)) - along)


def main(generations: int = 2500) -> dict[str, float]:
    """Minimise with both, in as many evaluations; returns the best cost of each over the
    start's.
    """
    shares = {}
    for method in ("lm-ma-es", "sep-cma-es"):
        result = esengine.minimize(
            cost,
            dimension=DIMENSION,
            method=method,
            sigma=0.3,
            population_size=15,
            initial_mean=START,
            generations=generations,
        )
        assert result.best_value is not None
        shares[method] = result.best_value / cost(START)
        print(
            f"{method:10} {shares[method]:.1e} of the start's cost after {15 * generations:,} "
            f"evaluations"
        )
    return shares


if __name__ == "__main__":
    main()
