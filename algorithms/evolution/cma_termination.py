"""Why a search that adapts a normal distribution is over: the criteria of the ``cma`` package, with
their defaults.

One departs: the fitness must be flat for a whole window of generations, not for two, since sparse
rewards begin flat.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State

_SPARSE = 5  # generations between entries of the long history
_LONGEST = 20_000  # entries of the long history
_STILL = (
    1e-9  # distance that the mean must have moved within 20 generations and a tenth of the search
)
_AGE_KEYS = ("spread", "flat", "still_since", "best", "best_at")


@dataclass(frozen=True)
class Tolerances:
    """The settings that the criteria use; 0 turns one off."""

    fun: float = 1e-11
    fun_history: float = 1e-12
    x: float = 1e-11
    x_up: float = 1e3
    stagnation: int | None = None


class Termination:
    """Histories of one search, and what they say.

    Args:
        tolerances: checked.
        population_size: members of a generation.
        mean: (n,) that the search starts from.
        sigma: that it starts with.
        patience: generations by which the windows of fitness are longer, where few members differ
            from the others.
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
        self.tolerances, self.sigma, self.n, self.population_size = (
            tolerances,
            sigma,
            n,
            population_size,
        )
        self.window = 10 + int(30 * n / population_size) + patience
        self.stagnation = (
            int(100 + 100 * n**1.5 / population_size)
            if tolerances.stagnation is None
            else tolerances.stagnation
        )
        self.age = 0  # generations
        self.history = np.zeros(0)  # best fitness of the last generations, newest last
        self.long_best, self.long_median = (
            np.zeros(0),
            np.zeros(0),
        )  # of every fifth generation, newest last
        self.anchor = mean.copy()  # where the mean was when it last moved
        self.spread = np.inf  # of the last generation's fitness
        self.flat = 0.0  # generations in a row whose best three quarters are equal
        self.still_since = 0.0  # age at which the mean was at the anchor
        self.best, self.best_at = -np.inf, 0.0  # best fitness and the age at which it was found

    def remember(self, fitness: NDArray[np.float64], mean: NDArray[np.float64]) -> None:
        """Take in a generation that was told; members that failed are left out."""
        self.age += 1
        valid = np.sort(fitness[np.isfinite(fitness)])[::-1]
        if valid.size:
            self.history = np.append(self.history, valid[0])[-self.window :]
            self.spread = float(valid[0] - valid[-1])
            self.flat = self.flat + 1 if valid[0] == valid[int(0.75 * valid.size)] else 0
            if valid[0] > self.best:
                self.best, self.best_at = float(valid[0]), self.age
            if self.age % _SPARSE == 0:
                self.long_best = np.append(self.long_best, valid[0])[-_LONGEST:]
                self.long_median = np.append(self.long_median, np.median(valid))[-_LONGEST:]
        patience = 20 + 0.1 * self.age
        far = _STILL * math.sqrt(max(1.0, (self.age - self.still_since) / patience))
        if np.linalg.norm(mean - self.anchor) > far:
            self.anchor, self.still_since = mean.copy(), self.age

    def reason(
        self,
        sigma: float,
        mean: NDArray[np.float64],
        deviations: NDArray[np.float64],
        axes: NDArray[np.float64],
        path: NDArray[np.float64],
    ) -> str | None:
        """Why the search is over, or None.

        Args:
            sigma: step size now.
            mean: (n,).
            deviations: (n,) standard deviation of every parameter.
            axes: (n,) square roots of the covariance's eigenvalues, ascending, without sigma.
            path: (n,) of the covariance, times sigma.
        """
        if not self.age:
            return None
        limits = self.tolerances
        smallest = limits.x * self.sigma
        if np.all(deviations < smallest) and np.all(np.abs(path) < smallest):
            return f"every standard deviation is below {smallest:.1e} (--tolerance-x)"
        if limits.x_up and not deviations.max() <= limits.x_up * self.sigma:
            return (
                f"a standard deviation grew to {deviations.max():.1e}, from {self.sigma:g} "
                f"(--tolerance-x-up): "
                "start with a larger --sigma, or bound the objective"
            )
        if axes[-1] > 1e7 * axes[0]:
            return "the covariance matrix has condition 1e14"
        if sigma > 1e20 * self.sigma * axes[-1]:
            return "the step size grows while the covariance shrinks: the search creeps"
        if np.any(mean == mean + 0.2 * deviations):
            return "a fifth of a standard deviation no longer changes some parameter's mean"
        return self._of_fitness()

    def _of_fitness(self) -> str | None:
        limits = self.tolerances
        span = float(np.ptp(self.history)) if self.history.size else np.inf
        if self.history.size >= self.window and max(span, self.spread) < limits.fun:
            return (
                f"fitness spans less than {limits.fun:.1e} over {self.window} generations "
                f"(--tolerance-fun)"
            )
        if self.history.size >= self.window and span < limits.fun_history:
            return (
                f"the best of {self.window} generations spans less than "
                f"{limits.fun_history:.1e} (--tolerance-fun-history)"
            )
        if limits.fun and self.flat > self.window:
            return (
                f"the better three quarters of {self.window} generations were equal: the "
                f"fitness is flat"
            )
        if self.spread > 0 and self.age - self.still_since > 20 + 0.1 * self.age:
            return (
                f"the mean has moved less than {_STILL:g} in {self.age - self.still_since:.0f} "
                f"generations"
            )
        return (
            f"no improvement in {self.stagnation} generations (--tolerance-stagnation)"
            if self._stagnates()
            else None
        )

    def _stagnates(self) -> bool:
        """Whether neither the best nor the median fitness improved from the first to the second
        half of a long time.
        """
        size, n = self.long_best.size, self.n
        half = int(max(self.stagnation / 10, size / 10))
        if (
            not self.stagnation
            or self.age <= n * (5 + 100 / self.population_size)
            or size <= max(100, 2 * half)
        ):
            return False
        if self.age - self.best_at <= self.stagnation / 2:
            return False
        halves = [
            (past[-half:], past[-2 * half : -half]) for past in (self.long_best, self.long_median)
        ]
        return all(np.median(late) <= np.median(early) for late, early in halves)

    def state(self) -> State:
        """For a checkpoint."""
        numbers = np.array([self.age, *(getattr(self, name) for name in _AGE_KEYS)], np.float64)
        return {
            "stop/numbers": numbers,
            "stop/history": self.history,
            "stop/long_best": self.long_best,
            "stop/long_median": self.long_median,
            "stop/anchor": self.anchor,
        }

    def restore(self, state: State) -> None:
        """Go on from `state`."""
        age, *numbers = state["stop/numbers"].tolist()
        self.age = int(age)
        for name, value in zip(_AGE_KEYS, numbers, strict=True):
            setattr(self, name, value)
        for name in ("history", "long_best", "long_median", "anchor"):
            setattr(self, name, state[f"stop/{name}"])
