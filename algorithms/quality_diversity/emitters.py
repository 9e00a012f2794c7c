"""Emitters: where the solutions of a generation come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.quality_diversity.archive import EliteArchive
from esengine.algorithms.saved_state import with_prefix, without_prefix
from esengine.algorithms.strategy import State, Strategy
from esengine.candidates import Candidates, LineVariations
from esengine.pool.population import Population
from esengine.seeding import derive_key, generator

Make = Callable[[NDArray[np.floating], int, int], Strategy]
"""Makes a strategy from its mean (n,), a seed, and the run's number of generations so far."""


class Added(NamedTuple):
    """What the members of an emitter did for the archive.

    Attributes:
        status: (size,) 2 for a new cell, 1 for a better elite of a cell, 0 for neither.
        improvement: (size,) f - t_e, or f for a new cell of an archive without thresholds; minus
            infinity for a member that failed.
    """

    status: NDArray[np.int32]
    improvement: NDArray[np.float64]


class Emitter(Protocol):
    """A source of solutions."""

    varying_state: ClassVar[tuple[str, ...]]

    @property
    def sigma(self) -> float:
        """Its step size."""

    def ask(self, generation: int) -> Candidates:
        """The solutions of a generation."""

    def tell(self, candidates: Candidates, added: Added, population: Population) -> None:
        """Learn from what became of them, once the archive has met all emitters' solutions."""

    def state(self) -> State:
        """Everything that `restore` needs, as plain arrays."""

    def restore(self, state: State) -> None:
        """Become the emitter that gave ``state``."""


class LineEmitter:
    """Varies elites along the line to another one, see `LineVariations`. It has no state of its
    own.

    Args:
        archive: whose elites are the parents, drawn uniformly.
        initial: (n,) the parent as long as there are none.
        size: number of solutions per generation.
        sigma: standard deviation of the isotropic noise.
        line_sigma: standard deviation along the line.
        seed: the run's seed.
    """

    varying_state: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        archive: EliteArchive,
        initial: NDArray[np.floating],
        size: int,
        sigma: float,
        line_sigma: float,
        seed: int,
    ) -> None:
        self._archive = archive
        self._initial = initial
        self._size = size
        self._line_sigma = line_sigma
        self._seed = seed
        self.sigma = sigma

    def ask(self, generation: int) -> LineVariations:
        cells = self._archive.cells
        parents = self._initial[None]
        pairs = np.zeros((2, self._size), np.int64)
        if cells.size:
            draw = generator(derive_key(self._seed, "parents", generation))
            drawn = cells[draw.integers(cells.size, size=pairs.shape)]
            used, places = np.unique(drawn, return_inverse=True)
            parents = self._archive.rows[used]
            pairs = places.reshape(pairs.shape)
        return LineVariations(
            self._seed, generation, self._size, self.sigma, self._line_sigma, parents, *pairs
        )

    def tell(self, candidates: Candidates, added: Added, population: Population) -> None:
        pass

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        pass


class StrategyEmitter:
    """A strategy that is told how its members improve the archive, and begins anew from an elite.

    Args:
        archive: whose elites it begins anew from, drawn uniformly.
        make: makes a strategy.
        initial: (n,) its first mean.
        seed: the run's seed.
        number: of the emitter.
        discovers: whether a new cell ranks before any improvement, and a generation without either
            ends the strategy (CMA-ME); otherwise the improvement alone counts, and the strategy
            ends by its own criteria (CMA-MAE).
    """

    varying_state: ClassVar[tuple[str, ...]] = ("strategy/",)

    def __init__(
        self,
        archive: EliteArchive,
        make: Make,
        initial: NDArray[np.floating],
        seed: int,
        number: int,
        discovers: bool,
    ) -> None:
        self._archive = archive
        self._make = make
        self._seed = seed
        self._number = number
        self._discovers = discovers
        self.restarts = 0
        self._begin(initial, 0)

    def _begin(self, mean: NDArray[np.floating], generation: int) -> None:
        self._mean = np.array(mean)
        self._born = generation
        seed = derive_key(derive_key(self._seed, "emitter", self._number), "start", self.restarts)
        self._strategy = self._make(self._mean, seed, generation)

    @property
    def sigma(self) -> float:
        return float(self._strategy.metrics()["sigma"])

    def ask(self, generation: int) -> Candidates:
        return self._strategy.ask()

    def tell(self, candidates: Candidates, added: Added, population: Population) -> None:
        told = by_stage(added) if self._discovers else added.improvement
        self._strategy.tell(candidates, told, population)
        found_none = self._discovers and not added.status.any()
        if found_none or self._strategy.should_stop() is not None:
            self.restarts += 1
            self._begin(self._elite(candidates.generation), candidates.generation)

    def _elite(self, generation: int) -> NDArray[np.floating]:
        """The row of an elite, or the last mean if there are none."""
        cells = self._archive.cells
        if not cells.size:
            return self._mean
        draw = generator(derive_key(self._seed, "elite", generation), self._number)
        row: NDArray[np.floating] = self._archive.rows[draw.choice(cells)]
        return row

    def state(self) -> State:
        own = {"numbers": np.array([self.restarts, self._born]), "mean": self._mean.copy()}
        return own | with_prefix("strategy/", self._strategy.state())

    def restore(self, state: State) -> None:
        self.restarts, born = state["numbers"].tolist()
        self._begin(state["mean"], born)
        self._strategy.restore(without_prefix("strategy/", state))


def by_stage(added: Added) -> NDArray[np.float64]:
    """Return the fitness of the two-stage ranking of CMA-ME (Fontaine et al. 2020, algorithm 2),
    (size,): new cells before better elites before all others, each by their improvement. Equal ones
    are equal; failed members have minus infinity.
    """
    keys = np.column_stack([added.status, added.improvement])
    _, ranks = np.unique(keys, axis=0, return_inverse=True)
    return np.where(np.isneginf(added.improvement), -math.inf, ranks.ravel().astype(np.float64))
