"""The stopping criteria of CMA-ES: those of the ``cma`` package, with its defaults.

One differs: fitness must be flat for a whole window of generations, not for two, because sparse
rewards are flat at the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State
from esengine.checks import at_least

_SPARSE = 5  # generations between entries of the long history
_LONGEST = 20_000  # entries of the long history
_STILL = 1e-9  # distance that the mean must move within 20 generations plus a tenth of the search
_NUMBERS = ("age", "spread", "flat", "still_since", "best", "best_at")
_HISTORIES = ("history", "long_best", "long_median", "anchor")


@dataclass(frozen=True)
class Tolerances:
    """The settings of the criteria; 0 turns a criterion off."""

    tolerance_fun: float = 1e-11
    """Stop when the range of fitness over the last generations is below this value."""
    tolerance_fun_history: float = 1e-12
    """Stop when the range of the best fitness over the last generations is below this value."""
    tolerance_x: float = 1e-11
    """Stop when every standard deviation is below this factor times the initial sigma."""
    tolerance_x_up: float = 1e3
    """Stop when a standard deviation exceeds this factor times the initial sigma; 0 never stops."""
    tolerance_stagnation: int | None = None
    """Stop after this number of generations without improvement; default 100 + 100
    parameters^1.5 / lambda, 0 never stops.
    """

    def check_tolerances(self) -> None:
        """Raises UserError for a tolerance below 0."""
        names = ("tolerance_fun", "tolerance_fun_history", "tolerance_x", "tolerance_x_up")
        at_least(self, 0, *names, "tolerance_stagnation")


class Termination:
    """The histories of one search, and the criteria that read them.

    Args:
        tolerances: checked tolerances.
        population_size: members per generation.
        mean: (n,) the first mean.
        sigma: the first step size.
        patience: generations to add to the window of fitness, for searches in which many members
            are equal.
    """

    def __init__(
        self,
        tolerances: Tolerances,
        population_size: int,
        mean: NDArray[np.float64],
        sigma: float,
        patience: int = 0,
    ) -> None:
        n = mean.size
        self.n = n
        self.tolerances = tolerances
        self.population_size = population_size
        self.sigma = sigma
        self.window = 10 + int(30 * n / population_size) + patience
        self.stagnation = int(100 + 100 * n**1.5 / population_size)
        if tolerances.tolerance_stagnation is not None:
            self.stagnation = tolerances.tolerance_stagnation

        self.age = 0  # generations
        self.history = np.zeros(0)  # best fitness of the last generations, newest last
        self.long_best = np.zeros(0)  # best fitness of every fifth generation, newest last
        self.long_median = np.zeros(0)  # median fitness of every fifth generation, newest last
        self.spread = np.inf  # range of the last generation's fitness
        self.flat = 0.0  # generations in a row whose best three quarters are equal
        self.best = -np.inf  # best fitness
        self.best_at = 0.0  # age of the best fitness
        self.anchor = mean.copy()  # where the mean was when it last moved
        self.still_since = 0.0  # age at which the mean was at the anchor

    def remember(self, fitness: NDArray[np.float64], mean: NDArray[np.float64]) -> None:
        """Add a generation to the histories; failed members are left out."""
        self.age += 1
        valid = np.sort(fitness[np.isfinite(fitness)])[::-1]
        if valid.size:
            best = valid[0]
            self.history = np.append(self.history, best)[-self.window :]
            self.spread = float(best - valid[-1])
            self.flat = self.flat + 1 if best == valid[int(0.75 * valid.size)] else 0
            if best > self.best:
                self.best = float(best)
                self.best_at = self.age
            if self.age % _SPARSE == 0:
                self.long_best = np.append(self.long_best, best)[-_LONGEST:]
                self.long_median = np.append(self.long_median, np.median(valid))[-_LONGEST:]

        far = _STILL * math.sqrt(max(1.0, (self.age - self.still_since) / (20 + 0.1 * self.age)))
        if np.linalg.norm(mean - self.anchor) > far:
            self.anchor = mean.copy()
            self.still_since = self.age

    def reason(
        self,
        sigma: float,
        mean: NDArray[np.float64],
        deviations: NDArray[np.float64],
        axes: NDArray[np.float64],
        path: NDArray[np.float64],
    ) -> str | None:
        """Return why the search is over, or None.

        Args:
            sigma: the step size now.
            mean: (n,).
            deviations: (n,) standard deviation of every parameter.
            axes: (n,) square roots of the eigenvalues of C, ascending.
            path: (n,) the path p_c times sigma.
        """
        if not self.age:
            return None
        limits = self.tolerances

        # The range of the standard deviations
        smallest = limits.tolerance_x * self.sigma
        if np.all(deviations < smallest) and np.all(np.abs(path) < smallest):
            return f"every standard deviation is below {smallest:.1e} (--tolerance-x)"
        if limits.tolerance_x_up and not deviations.max() <= limits.tolerance_x_up * self.sigma:
            return (
                f"a standard deviation grew to {deviations.max():.1e}, from {self.sigma:g} "
                "(--tolerance-x-up): start with a larger --sigma, or bound the objective"
            )

        # The precision of the numbers
        if axes[-1] > 1e7 * axes[0]:
            return "the covariance matrix has condition 1e14"
        if sigma > 1e20 * self.sigma * axes[-1]:
            return "the step size grows while the covariance shrinks: the search creeps"
        if np.any(mean == mean + 0.2 * deviations):
            return "a fifth of a standard deviation no longer changes some parameter's mean"
        return self._reason_of_fitness()

    def _reason_of_fitness(self) -> str | None:
        limits = self.tolerances
        window = self.window
        full = self.history.size >= window
        span = float(np.ptp(self.history)) if self.history.size else np.inf
        if full and max(span, self.spread) < limits.tolerance_fun:
            return (
                f"fitness spans less than {limits.tolerance_fun:.1e} over {window} generations "
                f"(--tolerance-fun)"
            )
        if full and span < limits.tolerance_fun_history:
            return (
                f"the best of {window} generations spans less than "
                f"{limits.tolerance_fun_history:.1e} (--tolerance-fun-history)"
            )
        if limits.tolerance_fun and self.flat > window:
            return f"the better three quarters of {window} generations were equal: fitness is flat"

        still = self.age - self.still_since
        if self.spread > 0 and still > 20 + 0.1 * self.age:
            return f"the mean has moved less than {_STILL:g} in {still:.0f} generations"
        if self._stagnates():
            return f"no improvement in {self.stagnation} generations (--tolerance-stagnation)"
        return None

    def _stagnates(self) -> bool:
        """Return whether neither the best nor the median fitness improved between two long halves
        of the history.
        """
        size = self.long_best.size
        half = int(max(self.stagnation / 10, size / 10))
        young = self.age <= self.n * (5 + 100 / self.population_size)
        if not self.stagnation or young or size <= max(100, 2 * half):
            return False
        if self.age - self.best_at <= self.stagnation / 2:
            return False
        return all(
            np.median(past[-half:]) <= np.median(past[-2 * half : -half])
            for past in (self.long_best, self.long_median)
        )

    def state(self) -> State:
        """The histories, and all numbers in one array."""
        numbers = np.array([getattr(self, name) for name in _NUMBERS], np.float64)
        return {"numbers": numbers} | {name: getattr(self, name) for name in _HISTORIES}

    def restore(self, state: State) -> None:
        """Become the criteria that gave ``state``."""
        for name, value in zip(_NUMBERS, state["numbers"].tolist(), strict=True):
            setattr(self, name, value)
        self.age = int(self.age)
        for name in _HISTORIES:
            setattr(self, name, state[name])
