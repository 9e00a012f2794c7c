"""The constraints of a run: what the strategy is told in their place, and the best point."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.constraints import AugmentedLagrangian, violations
from esengine.algorithms.strategy import State
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.problems import Columns
from esengine.problems.columns import ARRAY
from esengine.problems.evaluations import Evaluations

Floats = NDArray[np.float64]


class Constraints:
    """The augmented Lagrangian of a run, and how good its best point is.

    Args:
        columns: of the problem, with constraints.
        dimension: parameters of the search.

    Attributes:
        best_violation: sum of squared violations of the best point so far; infinite if there is
            none, 0 if it is feasible.
        best_fitness: its fitness.
    """

    def __init__(self, columns: Columns, dimension: int) -> None:
        self._indices = columns.constraints
        self._lagrangian = AugmentedLagrangian(dimension, self._indices.size)
        self._num_searches = 0
        self.forget()

    def forget(self) -> None:
        """Begin anew with the best point, since the objective is another."""
        self.best_violation = math.inf
        self.best_fitness = -math.inf

    def told(self, evaluations: Evaluations, num_searches: int) -> Floats:
        """The fitness for the strategy, (population_size,), and adapt to it.

        Args:
            evaluations: of the population and, as the last member, of the strategy's mean.
            num_searches: that the strategy has begun so far, if it restarts one search.
        """
        if num_searches > self._num_searches:
            self._num_searches = num_searches
            self._lagrangian.begin_search()
        fitness = evaluations.fitness
        numbers = evaluations.arrays[ARRAY][:, self._indices]
        own = float(fitness[-1])
        return self._lagrangian.fitness(fitness[:-1], numbers[:-1], own, numbers[-1])

    def violations(self, evaluations: Evaluations) -> Floats:
        """The sum of squared violations of each member, (num_members,), infinite for failed
        ones.
        """
        found = violations(evaluations.arrays[ARRAY][:, self._indices])
        return np.where(np.isfinite(found) & np.isfinite(evaluations.fitness), found, np.inf)

    def violation_of(self, numbers: Floats) -> float:
        """The sum of squared violations of one point, of its columns (num_others,)."""
        return float(violations(numbers[None, self._indices])[0])

    def improved(self, evaluations: Evaluations) -> int | None:
        """The member that is better than the best point so far, which it becomes, or None."""
        found = self.violations(evaluations)
        fitness = evaluations.fitness
        member = int(np.lexsort((-fitness, found))[0])
        new = (-found[member], fitness[member])
        if not np.isfinite(found[member]) or new <= (-self.best_violation, self.best_fitness):
            return None
        self.best_violation = float(found[member])
        self.best_fitness = float(fitness[member])
        return member

    def metrics(self) -> dict[str, float]:
        """Numbers for the generation's row."""
        return self._lagrangian.metrics()

    def state(self) -> State:
        best = {"best": np.array([self.best_violation, self.best_fitness, self._num_searches])}
        return self._lagrangian.state() | best

    def restore(self, state: State) -> None:
        """Become the one that gave ``state``."""
        self._lagrangian.restore(state)
        self.best_violation, self.best_fitness, num_searches = state["best"].tolist()
        self._num_searches = int(num_searches)


def members_alone(evaluations: Evaluations, size: int) -> Evaluations:
    """The evaluations of the first ``size`` members, without what was evaluated beside them."""
    whole = len(evaluations.records)
    arrays = {
        name: array[:size] if np.shape(array)[:1] == (whole,) else array
        for name, array in evaluations.arrays.items()
    }
    return replace(evaluations, records=evaluations.records[:size], arrays=arrays)


def check_constrained(config: RunConfig) -> None:
    """Raises UserError for settings that do not go together with constraints."""
    train = config.train
    if train.lag:
        raise UserError(
            f"--lag must be 0 with constraints, whose penalty follows the newest mean, got "
            f"{train.lag}"
        )
    if getattr(config.search, "surrogate", "none") != "none":
        raise UserError(
            "--surrogate must be used without constraints, whose penalty changes with the "
            "generation, got constraints; use --surrogate none"
        )
    if train.noise == "on":
        raise UserError(
            "--noise on must be used without constraints, whose penalty changes with the "
            "generation, got constraints; use --noise auto"
        )
