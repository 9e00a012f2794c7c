"""A custom strategy: hill climbing in one file. Every member mutates the best point so far, and
the best one replaces it.

esengine train --strategy examples.hill_climb:HillClimb --env-id CartPole-v1 --generations 20
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine import Candidates, MutatedParents, Population, UserError
from esengine.algorithms import State, check_results


@dataclass(frozen=True)
class HillClimbSettings:
    """Keep the best point, mutate it. Each field is a flag, its docstring the help."""

    antithetic: ClassVar[bool] = False

    population_size: int = 32
    """Members of a generation."""
    sigma: float = 0.5
    """Standard deviation of a mutation."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise UserError(f"--sigma must be positive, got {self.sigma}; 0.5 is the default")
        if self.population_size < 1:
            raise UserError(
                f"--population-size must be at least 1, got {self.population_size}; use 1 or more"
            )

    def strategy(self, initial: NDArray[np.floating], seed: int) -> HillClimb:
        """A new search from ``initial``, (dimension,)."""
        return HillClimb(self, initial, seed)


class HillClimb:
    """The search. Its state is the best point and its fitness, so a resumed run goes on exactly."""

    def __init__(
        self, settings: HillClimbSettings, initial: NDArray[np.floating], seed: int
    ) -> None:
        settings.check()
        self.settings, self.seed = settings, seed
        self.population_size = settings.population_size
        self.generation = 0
        self.best, self.fitness = np.array(initial), -math.inf

    def ask(self) -> MutatedParents:
        parents = self.best[
            None, :
        ]  # member i is parents[0] + sigma * its noise, which no message carries
        return MutatedParents(
            self.seed,
            self.generation + 1,
            self.population_size,
            self.settings.sigma,
            parents=parents,
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        member = int(np.argmax(fitness))
        if fitness[member] > self.fitness:
            self.best, self.fitness = population.row(member), float(fitness[member])
        self.generation += 1

    def should_stop(self) -> str | None:
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self.best

    def metrics(self) -> dict[str, float]:
        return {"sigma": self.settings.sigma}

    def state(self) -> State:
        return {
            "generation": np.array(self.generation),
            "best": self.best,
            "fitness": np.array(self.fitness),
        }

    def restore(self, state: State) -> None:
        self.generation = int(state["generation"])
        self.best, self.fitness = state["best"], float(state["fitness"])
