"""openai-es in a custom loop: ask, evaluate on all ranks, tell, with a rate that decays.

Run: python openai_es.py, or with all cores: mpirun -n 8 python openai_es.py
"""

import numpy as np
from numpy.typing import NDArray

from esengine import ObjectiveProblem, run_search
from esengine.algorithms import OpenAIES, OpenAIESSettings
from esengine.pool import Pool

DIMENSION = 20


def cost(x: NDArray[np.float64]) -> float:
    """Rosenbrock's valley: easy to find, long to follow; its minimum is 0 at (1, ..., 1)."""
    return float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def main(generations: int = 600) -> float:
    """Descend; returns the cost of the mean."""
    settings = OpenAIESSettings(population_size=64, sigma=0.02, learning_rate=0.02)

    def search(pool: Pool) -> NDArray[np.floating]:
        strategy = OpenAIES(settings, np.zeros(DIMENSION), seed=0)
        for generation in range(generations):
            candidates = strategy.ask()  # addresses of noise, not parameters
            fitness = pool.evaluate(candidates).fitness
            strategy.tell(candidates, fitness, pool.population())
            if generation % 100 == 0:
                print(f"generation {generation}: best cost {-fitness.max():.3g}")
        return strategy.parameters()

    mean = run_search(search, ObjectiveProblem(cost, DIMENSION, minimize=True))
    print(f"cost of the mean {cost(mean):.3g}")
    return cost(mean)


if __name__ == "__main__":
    main()
