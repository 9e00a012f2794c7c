"""pgpe on a noisy cost: the answer is the mean of the distribution, never the luckiest sample.

Run: python pgpe.py
"""

import numpy as np
from numpy.typing import NDArray

import esengine

TARGET = np.linspace(-1, 1, 30)


def noisy_cost(x: NDArray[np.float64]) -> float:
    """A bowl around TARGET, measured with an error; the error is a function of x, so that a run can
    be repeated.
    """
    error = np.random.default_rng(np.abs(x).view(np.uint64) % 2**32).normal(0, 2.0)
    return float(np.sum((x - TARGET) ** 2) + error)


def main(generations: int = 300) -> float:
    """Minimise; returns the distance of the mean from the target."""
    result = esengine.minimize(
        noisy_cost,
        dimension=TARGET.size,
        method="pgpe",
        sigma=0.3,
        population_size=100,
        generations=generations,
    )
    distance = float(np.linalg.norm(result.parameters - TARGET))
    print(
        f"luckiest cost {result.best_value:.2f}; the mean is {distance:.3f} from the target, "
        f"having begun {start():.1f} away"
    )
    return distance


def start() -> float:
    """The distance that the search starts from."""
    return float(np.linalg.norm(TARGET))


if __name__ == "__main__":
    main()
