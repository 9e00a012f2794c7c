"""Restarts of searches that have ended: IPOP (Auger, Hansen 2005) and BIPOP (Hansen 2009, doi
10.1145/1570256.1570333).

Searches run one after another, or several at the same time. In the second case a generation of the
run is one generation of each search. Each search then uses the ranks in proportion to its
population, so that many ranks are busy from the start. The members of a generation are evaluated as
one population, or those of each search apart, where a search goes ahead of slower ones. Which
search runs next depends only on the number of evaluations, counted generation by generation, never
on time or ranks. Every restart begins at another point, drawn around the first mean, and has its
own seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.running_search import LARGE, SMALL, RunningSearch
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, JointPopulation
from esengine.checks import at_least, one_of
from esengine.errors import UserError
from esengine.pool.population import Population
from esengine.seeding import derive_key, generator

Restarts = Literal["auto", "none", "ipop", "bipop", "endless"]

Search = Callable[[NDArray[np.float64], int, int, float, int], Strategy]
"""Makes a search from its mean (n,), a seed, its population size, sigma, and the run's number of
generations so far.
"""


@dataclass(frozen=True)
class RestartSettings:
    """The settings of restarts."""

    restarts: Restarts = "auto"
    """Restart the search when it ends: ipop doubles the population every time, bipop also runs
    small populations in between, and endless does that until a budget ends the run. auto
    is endless for an objective with a budget, and none for all others.
    """
    max_restarts: int = 9
    """Largest number of restarts with a doubled population; endless then doubles it no more.
    """
    concurrent_searches: int = 1
    """Number of searches that --restarts runs at the same time, each with twice the population of
    the one before.
    """

    def check_restarts(self) -> None:
        """Raises UserError for restarts that cannot be made."""
        one_of("--restarts", self.restarts, get_args(Restarts), "none restarts nothing")
        at_least(self, 0, "max_restarts", way_out="0 makes none")
        if self.concurrent_searches < 1 or (
            self.concurrent_searches > 1 and self.restarts in ("auto", "none")
        ):
            raise UserError(
                f"--concurrent-searches must be at least 1, and 1 without --restarts, got "
                f"{self.concurrent_searches}; "
                "use --restarts ipop or bipop"
            )

    def for_budget(self, has_budget: bool) -> Self:
        """The same settings; auto is endless, without a restart where there is no budget. The state
        has the same form in both cases, so that a resumed run may be given a budget.
        """
        if self.restarts != "auto":
            return self
        return replace(self, restarts="endless", max_restarts=self.max_restarts * has_budget)

    def search(
        self,
        make: Search,
        population_size: int,
        sigma: float,
        initial: NDArray[np.floating],
        seed: int,
    ) -> Strategy:
        """Return one search, or a strategy that restarts it.

        Args:
            make: makes a search.
            population_size: members of the first search.
            sigma: step size of the first search.
            initial: (n,) mean of the first search, around which the others are drawn.
            seed: the run's seed.
        """
        mean = np.array(initial, np.float64)
        if self.restarts in ("auto", "none"):
            return make(mean, seed, population_size, sigma, 0)
        return RestartedSearch(make, self, population_size, sigma, mean, seed)


def arrays_of_a_search(arrays: dict[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    """Return the arrays of a checkpoint's part under their own names; of searches that restart,
    those of the first one that runs.
    """
    state = without_prefix(part, arrays)
    places = sorted({name.split("/")[1] for name in state if name.startswith("search/")}, key=int)
    return without_prefix(f"search/{places[0]}/", state) if places else state


class RestartedSearch:
    """A strategy of searches that follow each other, in one place or in several.

    Args:
        make: makes a search.
        settings: checked settings.
        population_size: members of the first search.
        sigma: step size of the first search.
        initial: (n,) mean of the first search, around which the others are drawn.
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
        self._make = make
        self._settings = settings
        self._first_size = population_size
        self._first_sigma = sigma
        self._initial = initial
        self._seed = seed

        self.generation = 0
        self._begun = 0  # searches
        self._doublings = 0  # of the population in the large regime
        self._used = [0, 0]  # evaluations of each regime
        self._best = -math.inf  # fitness
        self._best_mean = initial  # of the search with the best fitness, when it was found
        self._reason: str | None = None

        self._places: list[RunningSearch | None] = [None] * settings.concurrent_searches
        self._places[0] = self._start(LARGE, math.inf, population_size, sigma, initial)
        self._fill()

    @property
    def running(self) -> list[RunningSearch]:
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

        # Every search learns from its own members
        parts = [(candidates, fitness, population)]
        if isinstance(candidates, JointPopulation):
            parts = [
                (part, fitness[first:last], population.part(number))
                for number, (part, (first, last)) in enumerate(
                    zip(candidates.parts, candidates.bounds, strict=True)
                )
            ]
        for search, part in zip(running, parts, strict=True):
            search.tell(*part, alone=len(self._places) == 1)
        self.count()

    @property
    def concurrent_searches(self) -> int:
        """The number of searches that may run at the same time."""
        return len(self._places)

    @property
    def can_count(self) -> bool:
        """Whether every search has learned from its next generation."""
        return all(search.is_ahead for search in self.running)

    def count(self) -> None:
        """Count the next generation of every search, and start others in the places of those that
        end with it.
        """
        running = self.running
        for search in running:
            self._count(search, search.count())
        self.generation += 1

        reasons = [
            self._end(place) for place, search in enumerate(self._places) if search is not None
        ]
        self._fill()
        if not self.running:
            last_reason = [reason for reason in reasons if reason is not None][-1]
            self._reason = last_reason
            if self._begun > 1:
                number = self._begun - 1
                self._reason = f"{number} restarts; the last search ended because {last_reason}"
            self._places[0] = running[0]  # ask and metrics still need a search
            self.population_size = running[0].strategy.population_size

    def _count(self, search: RunningSearch, fitness: NDArray[np.float64]) -> None:
        """Add a generation of a search to what is used, and keep its mean if it is the best."""
        self._used[search.regime] += fitness.size
        if fitness.max() >= self._best:
            self._best = float(fitness.max())
            self._best_mean = np.array(search.now.parameters(), np.float64)

    def forget_best(self) -> None:
        """Let the next generation be the best so far, since its fitness is of other code."""
        self._best = -math.inf

    def _end(self, place: int) -> str | None:
        """Empty a place if its search is over, and return why it is, or None."""
        search = self._places[place]
        assert search is not None
        reason = search.now.should_stop()
        if reason is None and search.spent >= search.budget:
            reason = "the small search has used its share"
        if reason is not None:
            self._places[place] = None
        return reason

    def _fill(self) -> None:
        """Start searches in the empty places, as long as any are left to start."""
        for place, search in enumerate(self._places):
            if search is None:
                self._places[place] = self._next()
        self.population_size = sum(search.now.population_size for search in self.running)

    def _next(self) -> RunningSearch | None:
        """Return the next search by the rules of ipop and bipop, or None after the last one."""
        large_used, small_used = self._used
        endless = self._settings.restarts == "endless" and self._settings.max_restarts > 0
        small = self._settings.restarts != "ipop" and self._doublings > 0
        small = small and small_used < large_used
        if self._doublings >= self._settings.max_restarts and not (small or endless):
            return None
        draw = generator(derive_key(self._seed, "restart", self._begun))
        mean = self._initial + self._first_sigma * draw.standard_normal(self._initial.size)

        if not small:
            self._doublings = min(self._doublings + 1, self._settings.max_restarts)
            size = self._first_size << self._doublings
            return self._start(LARGE, math.inf, size, self._first_sigma, mean)

        u = draw.random()
        size = int(self._first_size * ((1 << self._doublings) / 2) ** (u * u))  # lambda_s
        size = max(self._first_size, size + size % 2)
        sigma = self._first_sigma * 10 ** (-2 * draw.random())
        return self._start(SMALL, large_used / 2, size, sigma, mean)

    def _start(
        self, regime: int, budget: float, size: int, sigma: float, mean: NDArray[np.float64]
    ) -> RunningSearch:
        self._begun += 1
        return self._search(self._begun - 1, regime, budget, size, sigma, mean, self.generation)

    def _search(
        self,
        number: int,
        regime: int,
        budget: float,
        size: int,
        sigma: float,
        mean: NDArray[np.float64],
        generation: int,
    ) -> RunningSearch:
        """Return a search at its start; the first one has the seed of a run without restarts."""
        seed = derive_key(self._seed, "search", number) if number else self._seed
        strategy = self._make(mean, seed, size, sigma, generation)
        return RunningSearch(number, regime, budget, 0, size, sigma, mean, generation, strategy)

    def should_stop(self) -> str | None:
        return self._reason

    def parameters(self) -> NDArray[np.floating]:
        """The mean of the search with the best fitness, when it was found."""
        return self._best_mean

    @property
    def oldest(self) -> Strategy:
        """The search that has run longest."""
        return self._oldest.strategy

    @property
    def _oldest(self) -> RunningSearch:
        return min(self.running, key=lambda search: search.number)

    def metrics(self) -> dict[str, float]:
        """The metrics of the oldest running search, and the number of restarts."""
        metrics = self._oldest.now.metrics() | {"restarts": self._begun - 1}
        return metrics if len(self._places) == 1 else metrics | {"searches": len(self.running)}

    def state(self) -> State:
        numbers = [self.generation, self._begun, self._doublings, *self._used, self._best]
        searches: State = {}
        for place, search in enumerate(self._places):
            if search is not None:
                searches |= with_prefix(f"search/{place}/", search.now.state())
        empty = [math.nan] * 7
        running = [empty if search is None else search.numbers() for search in self._places]
        means = [self._initial if search is None else search.mean for search in self._places]
        return searches | {
            "restarts": np.array(numbers, np.float64),
            "running": np.array(running),
            "means": np.array(means),
            "best_mean": self._best_mean,
            "reason": np.frombuffer((self._reason or "").encode(), np.uint8),
        }

    def restore(self, state: State) -> None:
        generation, begun, doublings, large, small, best = state["restarts"].tolist()
        self.generation = int(generation)
        self._begun = int(begun)
        self._doublings = int(doublings)
        self._used = [int(large), int(small)]
        self._best = best
        self._best_mean = state["best_mean"]
        self._reason = state["reason"].tobytes().decode() or None

        searches = zip(state["running"].tolist(), state["means"], strict=True)
        for place, (numbers, mean) in enumerate(searches):
            inner = without_prefix(f"search/{place}/", state)
            self._places[place] = self._restored(numbers, mean, inner) if inner else None
        if not self.running:
            raise ValueError("no search runs")
        if self._reason is not None and self._settings.restarts == "endless":
            ended = self._places[0]
            self._places = [None] * len(self._places)
            self._fill()  # if a budget was added
            if self.running:
                self._reason = None
            else:
                self._places[0] = ended
        self.population_size = sum(search.now.population_size for search in self.running)

    def _restored(
        self, numbers: list[float], mean: NDArray[np.float64], state: State
    ) -> RunningSearch:
        number, regime, budget, spent, size, sigma, born = numbers
        search = self._search(int(number), int(regime), budget, int(size), sigma, mean, int(born))
        search.spent = int(spent)
        search.strategy.restore(state)
        if search.strategy.generation != self.generation:
            raise ValueError(
                f"a search is at generation {search.strategy.generation}, the run at "
                f"{self.generation}"
            )
        return search
