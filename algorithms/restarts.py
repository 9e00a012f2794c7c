"""Restarts of a search that has ended: IPOP (Auger, Hansen 2005) and BIPOP (Hansen 2009, doi 10.1145/1570256.1570333).

What runs next depends on evaluations alone, never on time or ranks. Every restart begins at another point, drawn around the
first mean by the run's seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State, Strategy
from esengine.candidates import Candidates
from esengine.errors import UserError
from esengine.population import Population
from esengine.seeding import derive_key, generator

Restarts = Literal["none", "ipop", "bipop"]

Search = Callable[[int, float, NDArray[np.float64], int], Strategy]
"""A new search from its population size, sigma, mean (n,) and the generations that the run has had."""

LARGE, SMALL = 0, 1  # regimes: doubled populations, and small ones of bipop


def check_restarts(restarts: Restarts, most: int) -> None:
    """Raises UserError for restarts that cannot be made."""
    if restarts not in ("none", "ipop", "bipop"):
        raise UserError(f"--restarts must be none, ipop or bipop, got {restarts}")
    if most < 0:
        raise UserError(f"--max-restarts must not be negative, got {most}; 0 makes none")


class RestartedSearch:
    """A strategy that is one search after another.

    Args:
        search: makes a search.
        restarts: ipop or bipop.
        most: restarts with a doubled population.
        population_size: of the first search.
        sigma: of the first search.
        initial: (n,) its mean, and the centre of those of the others.
        seed: the run's seed.
    """

    varying_state: ClassVar[tuple[str, ...]] = ("search/injected",)

    def __init__(
        self,
        search: Search,
        restarts: Restarts,
        most: int,
        population_size: int,
        sigma: float,
        initial: NDArray[np.float64],
        seed: int,
    ) -> None:
        self._search, self._restarts, self._most = search, restarts, most
        self._first_size, self._first_sigma, self._initial, self._seed = population_size, sigma, initial, seed
        self._number = 0  # of this search
        self._doublings = 0  # of the large regime
        self._regime = LARGE
        self._used = [0, 0]  # evaluations of each regime
        self._budget = math.inf  # evaluations of this search
        self._spent = 0  # evaluations of this search so far
        self._best = -math.inf  # fitness that the best search has seen
        self._best_mean = initial
        self._reason: str | None = None
        self._born = (population_size, sigma, initial, 0)  # what this search was made of
        self._adopt(search(*self._born))

    def ask(self) -> Candidates:
        return self.inner.ask()

    def tell(self, candidates: Candidates, fitness: NDArray[np.float64], population: Population) -> None:
        self.inner.tell(candidates, fitness, population)
        self.generation = self.inner.generation
        self._used[self._regime] += fitness.size
        self._spent += fitness.size
        if fitness.max() >= self._best:
            self._best, self._best_mean = float(fitness.max()), np.array(self.inner.parameters(), np.float64)
        reason = self.inner.should_stop()
        if reason is not None or self._spent >= self._budget:
            self._begin(reason or "the small search has used its share")

    def _begin(self, reason: str) -> None:
        """The next search, or the end."""
        if self._doublings >= self._most and not self._turn_of_small():
            self._reason = f"{self._number} restarts; the last search ended because {reason}"
            return
        self._number += 1
        draw = generator(derive_key(self._seed, "restart", self._number))
        mean = self._initial + self._first_sigma * draw.standard_normal(self._initial.size)
        size, sigma = self._first_size << self._doublings, self._first_sigma
        self._budget, self._spent = math.inf, 0
        if self._turn_of_small():
            self._regime = SMALL
            u = draw.random()
            size = int(self._first_size * (size / (2 * self._first_size)) ** (u * u))  # lambda_s
            size = max(self._first_size, size + size % 2)
            sigma = self._first_sigma * 10 ** (-2 * draw.random())
            self._budget = self._used[LARGE] / 2
        else:
            self._regime = LARGE
            self._doublings += 1
            size = self._first_size << self._doublings
        self._born = (size, sigma, mean, self.inner.generation)
        self._adopt(self._search(*self._born))

    def _adopt(self, search: Strategy) -> None:
        self.inner = search
        self.generation, self.population_size = search.generation, search.population_size

    def _turn_of_small(self) -> bool:
        """Whether bipop's small regime has used fewer evaluations; the first restart is a large one."""
        return self._restarts == "bipop" and self._doublings > 0 and self._used[SMALL] < self._used[LARGE]

    def should_stop(self) -> str | None:
        return self._reason

    def parameters(self) -> NDArray[np.floating]:
        """The mean of the search that saw the best fitness, when it saw it."""
        return self._best_mean

    def metrics(self) -> dict[str, float]:
        return {**self.inner.metrics(), "restarts": self._number}

    def state(self) -> State:
        size, sigma, mean, generation = self._born
        numbers = [self._number, self._doublings, self._regime, *self._used, self._budget, self._spent, self._best]
        return {
            "restarts": np.array([*numbers, size, sigma, generation], np.float64),
            "restart_mean": mean,
            "best_mean": self._best_mean,
            "reason": np.frombuffer((self._reason or "").encode(), np.uint8),
            **{f"search/{name}": array for name, array in self.inner.state().items()},
        }

    def restore(self, state: State) -> None:
        number, doublings, regime, large, small, budget, spent, best, size, sigma, generation = state["restarts"].tolist()
        self._number, self._doublings, self._regime = int(number), int(doublings), int(regime)
        self._used, self._budget, self._spent, self._best = [int(large), int(small)], budget, int(spent), best
        self._best_mean = state["best_mean"]
        self._reason = state["reason"].tobytes().decode() or None
        self._born = (int(size), sigma, state["restart_mean"], int(generation))
        self._adopt(self._search(*self._born))
        prefix = "search/"
        self.inner.restore({name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)})
        self.generation = self.inner.generation
