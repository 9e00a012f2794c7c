"""snes learns a scale for every parameter: the bowl is a thousand times steeper along its last axis
than along its first.

Run: python snes.py
"""

import numpy as np
from numpy.typing import NDArray

from esengine import ObjectiveProblem, run_search
from esengine.algorithms import SNES, SNESSettings
from esengine.pool import Pool

SCALES = np.logspace(0, 3, 12)


def cost(x: NDArray[np.float64]) -> float:
    return float(np.sum(SCALES * x**2))


def main(generations: int = 200) -> float:
    """Search from (1, ..., 1); returns how many times wider it samples the flattest axis than the
    steepest one.
    """

    def search(pool: Pool) -> NDArray[np.floating]:
        strategy = SNES(SNESSettings(sigma=1.0), np.ones(SCALES.size), seed=0)
        for _ in range(generations):
            candidates = strategy.ask()
            strategy.tell(candidates, pool.evaluate(candidates).fitness, pool.population())
        print(f"cost of the mean {cost(np.asarray(strategy.parameters(), np.float64)):.3g}")
        return np.asarray(strategy.deviations)

    deviations = run_search(search, ObjectiveProblem(cost, SCALES.size, minimize=True))
    ratio = float(deviations[0] / deviations[-1])
    print(
        f"standard deviations run from {deviations[0]:.2g} to {deviations[-1]:.2g}; sqrt(1000) "
        f"would be ideal: {ratio:.1f}"
    )
    return ratio


if __name__ == "__main__":
    main()
