"""cma-es calibrates a simulation: which mass, spring and damper give the motion that was measured?

Run: python cma_es.py, or from the command line with all cores, from this folder:
    esengine train cma-es --objective cma_es:misfit --dimension 3 --minimize
"""

import numpy as np
from numpy.typing import NDArray

import esengine

STEP_S, STEPS = 0.02, 250


def simulate(log_parameters: NDArray[np.float64]) -> NDArray[np.float64]:
    """Positions of a pulled and released mass, (STEPS,), by semi-implicit Euler; parameters are
    natural logarithms.
    """
    mass, stiffness, damping = np.exp(log_parameters)
    position, speed = 1.0, 0.0
    positions = np.empty(STEPS)
    for step in range(STEPS):
        speed -= STEP_S * (stiffness * position + damping * speed + 9.81 * 0.01 * mass) / mass
        position += STEP_S * speed
        positions[step] = position
    return positions


TRUTH = np.log([2.0, 30.0, 0.8])
MEASURED = simulate(TRUTH) + np.random.default_rng(0).normal(0, 0.01, STEPS)


def misfit(log_parameters: NDArray[np.float64]) -> float:
    """Mean squared difference from the measured motion; a simulation that explodes is infinitely
    bad.
    """
    with np.errstate(all="ignore"):
        return float(np.mean((simulate(log_parameters) - MEASURED) ** 2))


def main(generations: int = 80) -> NDArray[np.float64]:
    """Calibrate; returns stiffness and damping over mass, which the motion tells (it tells the mass
    hardly).
    """
    result = esengine.minimize(
        misfit, dimension=3, sigma=1.0, population_size=16, generations=generations
    )
    assert result.best_point is not None
    mass, stiffness, damping = np.exp(result.best_point)
    print(
        f"misfit {result.best_value:.2e}: stiffness / mass {stiffness / mass:.2f}, damping / mass "
        f"{damping / mass:.3f}"
    )
    print("truth: stiffness / mass 15.00, damping / mass 0.400")
    return np.array([stiffness, damping]) / mass


if __name__ == "__main__":
    main()
