"""pycma: the cma package with an option of its own, where one variable is a whole number: how many
fins has a good heat sink?

Run: python pycma.py, or from the command line with all cores, from this folder:
    esengine train pycma --objective pycma:cost --dimension 3 --minimize --lower-bound 2 5 0.3
    --upper-bound 40 50 5 \
        --integer-variables 0 --option AdaptSigma=CMAAdaptSigmaTPA
"""

import math

import numpy as np
from numpy.typing import NDArray

import esengine

LOWEST, HIGHEST = (2.0, 5.0, 0.3), (40.0, 50.0, 5.0)  # fins, their height and their thickness in mm


def cost(sink: NDArray[np.float64]) -> float:
    """Kelvin a watt, and what the metal costs, of fins on a plate of 100 by 100 mm."""
    fins, height, thickness = float(sink[0]), float(sink[1]) / 1000, float(sink[2]) / 1000
    gap = 0.1 / fins - thickness
    if gap <= 0:
        return math.inf  # they do not fit
    transfer = 20 * gap / (gap + 0.002)  # W / m^2 K, less where air is caught between them
    decay = height * math.sqrt(2 * transfer / (200 * thickness))  # of aluminium
    area = fins * 2 * height * 0.1 * math.tanh(decay) / decay
    return 1 / (transfer * area) + 2 * 2700 * fins * height * thickness * 0.1


def main(generations: int = 150) -> NDArray[np.float64]:
    """Minimise; returns fins, height and thickness."""
    result = esengine.minimize(
        cost,
        dimension=3,
        method="pycma",
        lower_bound=LOWEST,
        upper_bound=HIGHEST,
        integer_variables=(0,),
        option=("AdaptSigma=CMAAdaptSigmaTPA",),
        sigma=2.0,
        population_size=16,
        generations=generations,
    )
    assert result.best_point is not None
    fins, height, thickness = result.best_point
    print(
        f"{fins:.0f} fins, {height:.1f} mm high and {thickness:.2f} mm thick: cost "
        f"{result.best_value:.3f}"
    )
    return result.best_point


if __name__ == "__main__":
    main()
