"""A search among others that are evaluated at the same time, which may be ahead of them.

Nothing of a search depends on the others, so it learns as soon as its own members are evaluated.
What all of them together decide, such as which search starts next, counts generations in order. So
a search that is ahead also holds what it was before.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State, Strategy
from esengine.candidates import Candidates
from esengine.pool.population import Population

# Regimes: doubled populations, and the small populations of bipop
LARGE = 0
SMALL = 1

MOST_AHEAD = 8
"""Generations that a search may be ahead of the slowest one."""


class Earlier:
    """What a strategy was after an earlier generation.

    Args:
        strategy: as it is now.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.population_size = strategy.population_size
        self.generation = strategy.generation
        self._metrics = dict(strategy.metrics())
        self._parameters = np.array(strategy.parameters())
        self._reason = strategy.should_stop()
        self._state = {name: np.array(array) for name, array in strategy.state().items()}

    def metrics(self) -> dict[str, float]:
        return self._metrics

    def parameters(self) -> NDArray[np.floating]:
        return self._parameters

    def should_stop(self) -> str | None:
        return self._reason

    def state(self) -> State:
        return self._state


@dataclass
class _Ahead:
    """A generation that a search has learned from before all others had theirs.

    Attributes:
        fitness: of its members.
        after: the search after it, or None if it has learned from none since.
    """

    fitness: NDArray[np.float64]
    after: Earlier | None = None


@dataclass
class RunningSearch:
    """A search that is running.

    Attributes:
        number: number of searches that started before it.
        regime: LARGE or SMALL.
        budget: number of evaluations that it may use.
        spent: number of evaluations that it has used.
        size, sigma, mean, generation: the arguments that it was made with.
        strategy: the search itself.
    """

    number: int
    regime: int
    budget: float
    spent: int
    size: int
    sigma: float
    mean: NDArray[np.float64]
    generation: int
    strategy: Strategy
    _ahead: deque[_Ahead] = field(default_factory=deque)
    _earlier: Earlier | None = None

    @property
    def now(self) -> Strategy | Earlier:
        """The search at the generation that all searches have reached."""
        return self._earlier or self.strategy

    @property
    def is_ahead(self) -> bool:
        """Whether it has learned from a generation that is not counted yet."""
        return bool(self._ahead)

    @property
    def may_continue(self) -> bool:
        """Whether its next generation can be evaluated, whatever the others do."""
        if not self._ahead:
            return True
        spent = self.spent + sum(each.fitness.size for each in self._ahead)
        is_over = self.strategy.should_stop() is not None or spent >= self.budget
        return len(self._ahead) < MOST_AHEAD and not is_over

    def tell(
        self,
        candidates: Candidates,
        fitness: NDArray[np.float64],
        population: Population,
        alone: bool = False,
    ) -> None:
        """Learn from a generation, which `count` counts later.

        Args:
            candidates, fitness, population: see `Strategy.tell`.
            alone: whether no other search runs, so that nobody asks what it was before.
        """
        if not alone:
            before = Earlier(self.strategy)
            if self._ahead:
                self._ahead[-1].after = before
            else:
                self._earlier = before
        self.strategy.tell(candidates, fitness, population)
        self._ahead.append(_Ahead(fitness))

    def count(self) -> NDArray[np.float64]:
        """Count the oldest generation that it is ahead by; returns the fitness of its members."""
        told = self._ahead.popleft()
        self._earlier = told.after
        self.spent += told.fitness.size
        return told.fitness

    def numbers(self) -> list[float]:
        """What a checkpoint holds beside the mean and the strategy's state."""
        numbers: list[Any] = [self.number, self.regime, self.budget, self.spent]
        return [*numbers, self.size, self.sigma, self.generation]
