"""lq-CMA-ES: a search that evaluates only some of its members, and ranks all of them by a model
(Hansen 2019, doi 10.1145/3321707.3321842).

A generation of the run is a batch of evaluations, the members that the model finds best. If model
and evaluations agree on the order of the newest points, the search learns from the model's values,
and samples its next population without evaluating the rest. Otherwise half as many members again
are evaluated. The model's best point nearby is a member of the next population.

The model, and the sums of the search that it guides, are computed by the master alone, so no bit
depends on the number of ranks. This is for objectives that take a second and more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.quadratic_model import QuadraticModel, trust_region_step
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, GivenPoints
from esengine.checks import at_least, belong_to, one_of
from esengine.noise import CounterNoise
from esengine.pool import RankState
from esengine.pool.population import Population
from esengine.problems import ObjectiveProblem

Surrogate = Literal["none", "lq"]

_AGREES = 0.85  # least rank correlation of a model that is trusted
_MIN_SHARE = 0.02  # of a population that is evaluated in any case
_GROWTH = 1.5  # of the number of evaluated members, while the model is not trusted


@dataclass(frozen=True)
class SurrogateSettings:
    """The settings of a surrogate."""

    surrogate: Surrogate = "none"
    """Evaluate only a part of every population, and rank it by a model: lq is linear, then
    quadratic. For objectives without noise that take a second and more, up to about 40 parameters;
    a generation is then a batch of evaluations.
    """
    surrogate_batch: int = 1
    """With --surrogate: least number of evaluations at the same time; set it to the number of
    workers.
    """

    def check_surrogate(self) -> None:
        """Raises UserError for values out of range, and for a batch without a surrogate."""
        one_of("--surrogate", self.surrogate, get_args(Surrogate), "none evaluates all members")
        at_least(self, 1, "surrogate_batch")
        if self.surrogate == "none":
            belong_to(self, "--surrogate lq", "none", "surrogate_batch")


class Sampler(Strategy, Protocol):
    """The search that a surrogate guides, `CMAES`.

    Attributes:
        seed: of its populations.
        mean: (n,) float64.
        sigma: step size.
        A: (n, n) float64; its members are mean + sigma A z.
    """

    seed: int
    mean: NDArray[np.float64]
    sigma: float
    A: NDArray[np.float64]

    def inject(self, points: NDArray[np.floating]) -> None:
        """Make points the first members of the next population."""


class SurrogateSearch:
    """The strategy. Its state is that of the search, the model's points, and the members of the
    search's population with the values that they have so far.

    Args:
        search: samples the populations; it is at its start.
        batch: least number of evaluations at the same time.
        generation: number of generations of the run before this search.
    """

    varying_state: ClassVar[tuple[str, ...]] = ("search/injected",)

    def __init__(self, search: Sampler, batch: int, generation: int = 0) -> None:
        self.search = search
        self.seed = search.seed
        self.generation = generation
        n = search.mean.size
        self.model = QuadraticModel(n, search.population_size)
        self._least_batch = batch
        self._rank_state = RankState(CounterNoise(), ObjectiveProblem(math.fsum, n), None)

        self.correlation = 0.0  # of the model with the newest evaluations
        self._members: NDArray[np.float64] = np.zeros((0, n))
        self._values = np.zeros(0)  # fitness of the members, NaN where not evaluated
        self._batch = np.zeros(0, np.int64)  # members to evaluate now
        self.population_size = 0  # of the batch
        self._sample()

    def _sample(self) -> None:
        """Take the search's next population, of which nothing is evaluated yet."""
        candidates = self.search.ask()
        size = self.search.population_size
        rows = candidates.rows(self._rank_state.noise, 0, size)
        self._members = np.asarray(rows, np.float64)
        self._values = np.full(size, np.nan)
        self._choose(int(1 + max(_MIN_SHARE * size, 4 - self.model.costs.size)))

    def _choose(self, count: int) -> None:
        """Make the best members by the model the batch, so that ``count`` are evaluated by then."""
        order = np.argsort(self.model.predicted(self._members), kind="stable")
        open_members = order[np.isnan(self._values[order])]
        done = self._values.size - open_members.size
        self._batch = open_members[: max(count - done, self._least_batch)]
        self.population_size = self._batch.size

    def ask(self) -> GivenPoints:
        points = self._members[self._batch]
        return GivenPoints(self.seed, self.generation + 1, self.population_size, points)

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        self.generation += 1
        self._values[self._batch] = fitness
        done = int(np.count_nonzero(~np.isnan(self._values)))
        size = self._values.size
        known = np.concatenate([-fitness[np.isfinite(fitness)], self.model.costs])
        if known.size:  # failed members are as bad as the worst point
            costs = np.where(np.isfinite(fitness), -fitness, known.max())
            self.model.add(self._members[self._batch], costs)
            self.model.sort(done)
        self.correlation = self.model.correlation(int(max(15, min(1.2 * done, 0.75 * size))))
        if self.correlation < _AGREES and done < size:
            self._choose(math.ceil(_GROWTH * done))
            return

        values = self._values
        if done < size:
            values = -self.model.predicted(self._members)
            known = self._values[np.isfinite(self._values)]
            values += known.max(initial=-math.inf) - values.max() if known.size else 0.0
            values[np.isneginf(self._values)] = -math.inf  # failed members
        self._learn(values)

    def _learn(self, values: NDArray[np.float64]) -> None:
        """Let the search learn from all members' values, and sample its next population."""
        search = self.search
        self._rank_state.candidates["search"] = search.ask()
        search.tell(
            self._rank_state.candidates["search"], values, Population(self._rank_state, None)
        )

        if self.model.costs.size:
            search.inject(self._best_nearby()[None])
        self._sample()

    def _best_nearby(self) -> NDArray[np.float64]:
        """Return the model's best point, as far from the mean as a sampled member at most, (n,)."""
        search = self.search
        gradient, hessian = self.model.derivatives(search.mean)
        root = search.sigma * search.A
        slope = root.T @ gradient
        if not slope.any():
            return search.mean
        step = trust_region_step(slope, root.T @ hessian @ root, math.sqrt(slope.size))
        return np.asarray(search.mean + root @ step)

    def should_stop(self) -> str | None:
        return self.search.should_stop()

    def parameters(self) -> NDArray[np.floating]:
        return self.search.parameters()

    def metrics(self) -> dict[str, Any]:
        """The search's metrics, its number of generations, the model's number of coefficients, and
        its rank correlation with the newest evaluations.
        """
        return self.search.metrics() | {
            "search_generations": self.search.generation,
            "model_size": self.model.size,
            "model_correlation": self.correlation,
        }

    def state(self) -> State:
        own = {
            "generation": np.array(self.generation),
            "correlation": np.array(self.correlation),
            "members": self._members.copy(),
            "evaluated": ~np.isnan(self._values),
            "values": np.where(np.isnan(self._values), 0.0, self._values),
            "batch": self._batch.copy(),
        }
        inner = with_prefix("search/", self.search.state())
        return own | inner | with_prefix("model/", self.model.state())

    def restore(self, state: State) -> None:
        self.generation = int(state["generation"])
        self.correlation = float(state["correlation"])
        self._members = np.array(state["members"])
        self._values = np.where(state["evaluated"], state["values"], np.nan)
        self._batch = np.array(state["batch"])
        self.population_size = self._batch.size
        self.search.restore(without_prefix("search/", state))
        self.model.restore(without_prefix("model/", state))
