"""The stopping criteria of CMA-ES: those of the ``cma`` package, with its defaults.

Three things differ. Fitness must be flat for a whole window of generations, not for two, because
sparse rewards are flat at the start. Distances are relative to the initial sigma, and tolerances of
a fitness with a small unit to its first range, so that a change of units changes no ending. In
environments fitness decides nothing: it is noisy, and its meaning may change with the generation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.saved_state import SavedState, with_prefix, without_prefix
from esengine.algorithms.strategy import State
from esengine.checks import at_least

_SPARSE = 5  # generations between entries of the long history
_LONGEST = 20_000  # entries of the long history
_TOLERANCE_FUN = 1e-11
_TOLERANCE_FUN_HISTORY = 1e-12
_NUMBERS = ("age", "flat", "still_since", "best", "best_at")
_HISTORIES = ("long_best", "long_median", "anchor")


@dataclass(frozen=True)
class FitnessTolerance:
    """The setting of the criterion of fitness that all methods share; 0 turns it off."""

    of_fitness: ClassVar[tuple[str, ...]] = ("tolerance_fun",)

    tolerance_fun: float | None = None
    """Stop when the range of fitness over the last generations is below this value; default 1e-11,
    times the range of the first generation if that is below 1, and 0, which never stops, in
    environments.
    """

    def without_fitness(self) -> Self:
        """The same settings with the criteria of fitness off, except those that are set."""
        unset = (name for name in self.of_fitness if getattr(self, name) is None)
        return replace(self, **dict.fromkeys(unset, 0))


@dataclass(frozen=True)
class Tolerances(FitnessTolerance):
    """The settings of the criteria; 0 turns a criterion off."""

    of_fitness: ClassVar[tuple[str, ...]] = (
        "tolerance_fun",
        "tolerance_fun_history",
        "tolerance_stagnation",
    )

    tolerance_fun_history: float | None = None
    """Stop when the range of the best fitness over the last generations is below this value;
    default 1e-12, otherwise as --tolerance-fun.
    """
    tolerance_x: float = 1e-11
    """Stop when every standard deviation is below this factor times the initial sigma."""
    tolerance_x_up: float = 1e3
    """Stop when a standard deviation exceeds this factor times the initial sigma; 0 never stops."""
    tolerance_x_stagnation: float = 1e-9
    """Stop when the mean has moved less than this factor times the initial sigma within 20
    generations plus a tenth of the search.
    """
    tolerance_stagnation: int | None = None
    """Stop after this number of generations without improvement; default 100 + 100
    parameters^1.5 / lambda, and 0, which never stops, in environments.
    """

    def check_tolerances(self) -> None:
        """Raises UserError for a tolerance below 0."""
        at_least(self, 0, *self.of_fitness, "tolerance_x", "tolerance_x_up")
        at_least(self, 0, "tolerance_x_stagnation")


class FitnessRange(SavedState):
    """The range of fitness over a window of generations.

    Args:
        window: number of generations.

    Attributes:
        history: best fitness of the last generations, newest last.
        spread: range of the last generation's fitness.
        unit: range of the first generation whose fitness differed, at most 1; 0 before it.
    """

    saved = ("history", "spread", "unit")

    def __init__(self, window: int) -> None:
        self.window = window
        self.history = np.zeros(0)
        self.spread = math.inf
        self.unit = 0.0

    def remember(self, fitness: NDArray[np.float64]) -> None:
        """Add a generation's fitness, without failed members; there must be some."""
        self.history = np.append(self.history, fitness.max())[-self.window :]
        self.spread = float(np.ptp(fitness))
        self.unit = self.unit or min(1.0, self.spread)

    def reason(self, tolerance: float | None, of_history: float | None = 0) -> str | None:
        """Return why the search is over, or None.

        Args:
            tolerance: of the range of all fitness; None is the default.
            of_history: of the range of the best fitness; None is the default.
        """
        if self.history.size < self.window:
            return None

        span = float(np.ptp(self.history))
        unit = self.unit or 1.0
        least = _TOLERANCE_FUN * unit if tolerance is None else tolerance
        if max(span, self.spread) < least:
            return (
                f"fitness spans less than {least:.1e} over {self.window} generations "
                f"(--tolerance-fun)"
            )
        least = _TOLERANCE_FUN_HISTORY * unit if of_history is None else of_history
        if span < least:
            return (
                f"the best of {self.window} generations spans less than {least:.1e} "
                f"(--tolerance-fun-history)"
            )
        return None


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
        self.range = FitnessRange(10 + int(30 * n / population_size) + patience)
        self.stagnation = int(100 + 100 * n**1.5 / population_size)
        if tolerances.tolerance_stagnation is not None:
            self.stagnation = tolerances.tolerance_stagnation

        self._still = tolerances.tolerance_x_stagnation * sigma

        self.age = 0  # generations
        self.long_best = np.zeros(0)  # best fitness of every fifth generation, newest last
        self.long_median = np.zeros(0)  # median fitness of every fifth generation, newest last
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
            self.range.remember(valid)
            self.flat = self.flat + 1 if best == valid[int(0.75 * valid.size)] else 0
            if best > self.best:
                self.best = float(best)
                self.best_at = self.age
            if self.age % _SPARSE == 0:
                self.long_best = np.append(self.long_best, best)[-_LONGEST:]
                self.long_median = np.append(self.long_median, _median(valid))[-_LONGEST:]

        far = math.sqrt(max(1.0, (self.age - self.still_since) / (20 + 0.1 * self.age)))
        if np.linalg.norm(mean - self.anchor) > self._still * far:
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
        still = self.age - self.still_since
        if self._still and self.range.spread > 0 and still > 20 + 0.1 * self.age:
            return (
                f"the mean has moved less than {self._still:.1e} in {still:.0f} generations "
                f"(--tolerance-x-stagnation)"
            )
        return self._reason_of_fitness()

    def _reason_of_fitness(self) -> str | None:
        limits = self.tolerances
        window = self.range.window
        reason = self.range.reason(limits.tolerance_fun, limits.tolerance_fun_history)
        if reason is not None:
            return reason
        if limits.tolerance_fun != 0 and self.flat > window:
            return f"the better three quarters of {window} generations were equal: fitness is flat"
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
        histories = {name: getattr(self, name) for name in _HISTORIES}
        return {"numbers": numbers} | histories | with_prefix("range/", self.range.state())

    def restore(self, state: State) -> None:
        """Become the criteria that gave ``state``."""
        for name, value in zip(_NUMBERS, state["numbers"].tolist(), strict=True):
            setattr(self, name, value)
        self.age = int(self.age)
        for name in _HISTORIES:
            setattr(self, name, state[name])
        self.range.restore(without_prefix("range/", state))


def _median(values: NDArray[np.float64]) -> float:
    """The median, also where the sum of two values overflows."""
    return 2 * float(np.median(values / 2))
