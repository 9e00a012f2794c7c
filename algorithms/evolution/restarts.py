"""Restarts of a search that has ended: IPOP (Auger, Hansen 2005) and BIPOP (Hansen 2009, doi
10.1145/1570256.1570333).

Searches run one after another, or several at the same time: then a generation of the run is one of
each, evaluated together, so each has a share of the ranks in proportion to its population, and
large populations keep many ranks busy from the beginning. What runs next depends on evaluations
alone, never on time or ranks. Every restart begins at another point, drawn around the first mean by
the run's seed, and has noise of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, JointPopulation
from esengine.checks import at_least, one_of
from esengine.errors import UserError
from esengine.pool.population import Population
from esengine.seeding import derive_key, generator

Restarts = Literal["none", "ipop", "bipop"]

Search = Callable[[int, float, NDArray[np.float64], int, int], Strategy]
"""A new search from its population size, sigma, mean (n,), the generations that the run has had,
and a seed.
"""

LARGE, SMALL = 0, 1  # regimes: doubled populations, and small ones of bipop


@dataclass(frozen=True)
class RestartSettings:
    """When a search that has ended begins again."""

    restarts: Restarts = "none"
    """Start again when the search ends: ipop with twice the population, bipop also with small ones,
    by turns.
    """
    max_restarts: int = 9
    """Restarts with a doubled population that ipop and bipop may make."""
    concurrent_searches: int = 1
    """Searches that --restarts runs at the same time, each with twice the population of the one
    before.
    """

    def check_restarts(self) -> None:
        """Raises UserError for restarts that cannot be made."""
        one_of("--restarts", self.restarts, get_args(Restarts), "none restarts nothing")
        at_least(self, 0, "max_restarts", way_out="0 makes none")
        if self.concurrent_searches < 1 or (
            self.concurrent_searches > 1 and self.restarts == "none"
        ):
            raise UserError(
                f"--concurrent-searches must be at least 1, and 1 without --restarts, got "
                f"{self.concurrent_searches}; "
                "use --restarts ipop or bipop"
            )

    def search(
        self,
        make: Search,
        population_size: int,
        sigma: float,
        initial: NDArray[np.floating],
        seed: int,
    ) -> Strategy:
        """A strategy that is one search, or one with restarts.

        Args:
            make: makes a search.
            population_size: of the first search.
            sigma: of the first search.
            initial: (n,) its mean, and the centre of those of the others.
            seed: the run's seed.
        """
        mean = np.array(initial, np.float64)
        if self.restarts == "none":
            return make(population_size, sigma, mean, 0, seed)
        return RestartedSearch(make, self, population_size, sigma, mean, seed)


@dataclass
class _Running:
    """A search that runs.

    Attributes:
        number: of the searches before it.
        regime: LARGE or SMALL.
        budget: evaluations that it may use.
        spent: evaluations that it has used.
        size, sigma, mean, generation: what it was made of.
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

    def numbers(self) -> list[float]:
        return [
            self.number,
            self.regime,
            self.budget,
            self.spent,
            self.size,
            self.sigma,
            self.generation,
        ]


class RestartedSearch:
    """A strategy of searches that follow each other in one place, or in several.

    Args:
        make: makes a search.
        settings: checked.
        population_size: of the first search.
        sigma: of the first search.
        initial: (n,) its mean, and the centre of those of the others.
        seed: the run's seed.
    """

    varying_state: ClassVar[tuple[str, ...]] = ("search/",)

    def __init__(
        self,
        make: Search,
        settings: RestartSettings,
        population_size: int,
        sigma: float,
        initial: NDArray[np.float64],
        seed: int,
    ) -> None:
        self._make, self._settings = make, settings
        self._first_size, self._first_sigma, self._initial, self._seed = (
            population_size,
            sigma,
            initial,
            seed,
        )
        self.generation = 0
        self._begun = 0  # searches
        self._doublings = 0  # of the large regime
        self._used = [0, 0]  # evaluations of each regime
        self._best = -math.inf  # fitness that the best search has seen
        self._best_mean = initial
        self._reason: str | None = None
        self._places: list[_Running | None] = [None] * settings.concurrent_searches
        self._places[0] = self._start(LARGE, math.inf, population_size, sigma, initial)
        self._fill()

    @property
    def running(self) -> list[_Running]:
        """The searches that run now, in the order of their places."""
        return [search for search in self._places if search is not None]

    def ask(self) -> Candidates:
        parts = tuple(search.strategy.ask() for search in self.running)
        return parts[0] if len(self._places) == 1 else JointPopulation.of(self._seed, parts)

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        running = self.running
        bounds = [(0, fitness.size)]
        if isinstance(candidates, JointPopulation):
            bounds = candidates.bounds
            for number, (search, (first, last)) in enumerate(zip(running, bounds, strict=True)):
                search.strategy.tell(
                    candidates.parts[number], fitness[first:last], population.part(number)
                )
        else:
            running[0].strategy.tell(candidates, fitness, population)
        self.generation += 1
        for search, (first, last) in zip(running, bounds, strict=True):
            self._count(search, fitness[first:last])
        reasons = [
            self._end(place) for place, search in enumerate(self._places) if search is not None
        ]
        self._fill()
        if not self.running:
            self._reason = (
                f"{self._begun - 1} restarts; the last search ended because "
                f"{[*filter(None, reasons)][-1]}"
            )
            self._places[0], self.population_size = (
                running[0],
                running[0].size,
            )  # so that there is one to ask still

    def _count(self, search: _Running, fitness: NDArray[np.float64]) -> None:
        """Note what a search has used and found."""
        search.spent += fitness.size
        self._used[search.regime] += fitness.size
        if fitness.max() >= self._best:
            self._best, self._best_mean = (
                float(fitness.max()),
                np.array(search.strategy.parameters(), np.float64),
            )

    def _end(self, place: int) -> str | None:
        """Leave a place whose search is over; returns why it is."""
        search = self._places[place]
        assert search is not None
        reason = search.strategy.should_stop()
        if reason is None and search.spent >= search.budget:
            reason = "the small search has used its share"
        if reason is not None:
            self._places[place] = None
        return reason

    def _fill(self) -> None:
        """Begin searches in the places that are free, as long as there are any to begin."""
        for place, search in enumerate(self._places):
            if search is None:
                self._places[place] = self._next()
        self.population_size = sum(
            search.size for search in self.running
        )  # of all searches together

    def _next(self) -> _Running | None:
        """The next search by the rules of ipop and bipop, or None after the last one."""
        small = (
            self._settings.restarts == "bipop"
            and self._doublings > 0
            and self._used[SMALL] < self._used[LARGE]
        )
        if self._doublings >= self._settings.max_restarts and not small:
            return None
        draw = generator(derive_key(self._seed, "restart", self._begun))
        mean = self._initial + self._first_sigma * draw.standard_normal(self._initial.size)
        if not small:
            self._doublings += 1
            return self._start(
                LARGE, math.inf, self._first_size << self._doublings, self._first_sigma, mean
            )
        u = draw.random()
        size = int(self._first_size * ((1 << self._doublings) / 2) ** (u * u))  # lambda_s
        size = max(self._first_size, size + size % 2)
        return self._start(
            SMALL, self._used[LARGE] / 2, size, self._first_sigma * 10 ** (-2 * draw.random()), mean
        )

    def _start(
        self, regime: int, budget: float, size: int, sigma: float, mean: NDArray[np.float64]
    ) -> _Running:
        number, self._begun = self._begun, self._begun + 1
        strategy = self._make(size, sigma, mean, self.generation, self._own_seed(number))
        return _Running(number, regime, budget, 0, size, sigma, mean, self.generation, strategy)

    def _own_seed(self, number: int) -> int:
        """The seed of a search; the first one is as it would be without restarts."""
        return derive_key(self._seed, "search", number) if number else self._seed

    def should_stop(self) -> str | None:
        return self._reason

    def parameters(self) -> NDArray[np.floating]:
        """The mean of the search that saw the best fitness, when it saw it."""
        return self._best_mean

    def metrics(self) -> dict[str, float]:
        """Those of the search that was begun first of the ones that run."""
        running = self.running
        metrics = {
            **min(running, key=lambda search: search.number).strategy.metrics(),
            "restarts": self._begun - 1,
        }
        return metrics if len(self._places) == 1 else {**metrics, "searches": len(running)}

    def state(self) -> State:
        empty = [math.nan] * 7
        numbers = [self.generation, self._begun, self._doublings, *self._used, self._best]
        state = {
            "restarts": np.array(numbers, np.float64),
            "running": np.array(
                [empty if each is None else each.numbers() for each in self._places]
            ),
            "means": np.array(
                [self._initial if each is None else each.mean for each in self._places]
            ),
            "best_mean": self._best_mean,
            "reason": np.frombuffer((self._reason or "").encode(), np.uint8),
        }
        for place, search in enumerate(self._places):
            inner = {} if search is None else search.strategy.state()
            state |= {f"search/{place}/{name}": array for name, array in inner.items()}
        return state

    def restore(self, state: State) -> None:
        generation, begun, doublings, large, small, best = state["restarts"].tolist()
        self.generation, self._begun, self._doublings = int(generation), int(begun), int(doublings)
        self._used, self._best, self._best_mean = [int(large), int(small)], best, state["best_mean"]
        self._reason = state["reason"].tobytes().decode() or None
        for place, (numbers, mean) in enumerate(
            zip(state["running"].tolist(), state["means"], strict=True)
        ):
            prefix = f"search/{place}/"
            inner = {
                name.removeprefix(prefix): array
                for name, array in state.items()
                if name.startswith(prefix)
            }
            self._places[place] = self._restored(numbers, mean, inner) if inner else None
        if not self.running:
            raise ValueError("no search runs")
        self.population_size = sum(search.size for search in self.running)

    def _restored(self, numbers: list[float], mean: NDArray[np.float64], state: State) -> _Running:
        number, regime, budget, spent, size, sigma, born = numbers
        strategy = self._make(int(size), sigma, mean, int(born), self._own_seed(int(number)))
        strategy.restore(state)
        if strategy.generation != self.generation:
            raise ValueError(
                f"a search is at generation {strategy.generation}, the run at {self.generation}"
            )
        return _Running(
            int(number),
            int(regime),
            budget,
            int(spent),
            int(size),
            sigma,
            mean,
            int(born),
            strategy,
        )
