"""The contract between a search method and the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from esengine.candidates import Candidates
from esengine.errors import UserError
from esengine.pool import Pool, Population
from esengine.problems.search_space import SearchSpace

State = dict[str, NDArray[Any]]


class Settings(Protocol):
    """A method's settings, a frozen dataclass: each field is a flag of ``esengine train``."""

    antithetic: ClassVar[bool]
    """Whether members 2k and 2k + 1 are a pair, which meets the same start states."""

    def check(self) -> None:
        """Raises UserError for settings that define no search."""

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,) in the problem's precision."""


@runtime_checkable
class SettingsInSpace(Settings, Protocol):
    """Settings of a method that does more with a search space than move in it."""

    def strategy_in(self, space: SearchSpace, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy for a space with bounds, fixed or whole variables; rows are mapped into it
        when they are evaluated.

        Args:
            space: whose `SearchSpace.lattice` says which parameters are whole numbers.
            initial: (dimension,) the first mean, a row of the search.
            seed: the run's seed.
        """


@runtime_checkable
class EndsByFitness(Settings, Protocol):
    """Settings of a method that ends when fitness no longer improves."""

    def without_fitness(self) -> Self:
        """The same settings with these criteria off, except those that the user has set: for a
        fitness that is noisy, or changes its meaning.
        """


@runtime_checkable
class UsesBudget(Settings, Protocol):
    """Settings of a method that can begin anew as long as there is a budget."""

    def for_budget(self, has_budget: bool) -> Self:
        """The same settings for a run with or without a budget, except what the user has set."""


@runtime_checkable
class AdaptsToNoise(Settings, Protocol):
    """Settings of a method that searches in another way under noise."""

    def for_noise(self, is_noisy: bool) -> Self:
        """The same settings for a fitness with or without noise, except what the user has set."""


@runtime_checkable
class AllowsLag(Protocol):
    """A strategy that may be told populations which were drawn some generations before its present
    state, since it follows an estimated gradient.
    """

    def allow_lag(self, lag: int) -> None:
        """Choose rates that are stable with this lag, before the first generation."""


@runtime_checkable
class MayFail(Protocol):
    """A strategy that may be told a generation in which every member failed."""

    may_fail: ClassVar[bool]


class Method(Protocol):
    """What the training loop asks of strategies and of `RoundMethod` alike.

    A method is deterministic, and never sees a rank. Restoring the state of another one of the same
    settings makes the two equal bit for bit. The arrays of a state may come and go, if their names
    begin as one of an optional attribute ``varying_state: tuple[str, ...]``.
    """

    @property
    def generation(self) -> int:
        """Number of completed generations."""

    def should_stop(self) -> str | None:
        """Why the search is over, or None."""

    def parameters(self) -> NDArray[np.floating]:
        """The parameters to use now, (dimension,): the distribution's mean, the re-evaluated best
        elite, or the newest policy.
        """

    def metrics(self) -> dict[str, Any]:
        """Numbers for the generation's row of metrics; a strategy's have ``sigma`` among them."""

    def state(self) -> State:
        """Everything that `restore` needs, as plain arrays."""

    def restore(self, state: State) -> None:
        """Become the method that gave ``state``."""


class RoundMethod(Method, Protocol):
    """A method that evaluates and learns in rounds of its own, a round a generation."""

    @property
    def seconds(self) -> Mapping[str, float]:
        """Seconds of the last round by part, except learning."""

    def step(self, pool: Pool, finished: dict[int, bytes]) -> tuple[int, int]:
        """Do one round; returns its environment steps and episodes.

        Args:
            pool: of the problem.
            finished: results of this round that exist already; filled with those that arrive.

        Raises:
            Interrupted: a signal; ``finished`` holds what was evaluated, all else is as it was
                before the round.
            WorkerError: the environment raised, or every member failed.
        """


@runtime_checkable
class HasMean(Protocol):
    """A strategy with a mean that others may improve between two generations."""

    mean: NDArray[np.floating]


class Strategy(Method, Protocol):
    """A search method: ``ask`` for a population, ``tell`` its fitness, again and again.

    What it asks is a function of its seed, its state and what it was told.
    """

    population_size: int

    def ask(self) -> Candidates:
        """The next population, described compactly. Asking twice gives the same population."""

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        """Learn from a generation.

        Args:
            candidates: what `ask` gave.
            fitness: (population_size,) float64, higher is better; minus infinity where the member
                failed. Not modified.
            population: sums over the members, computed by all ranks.

        Raises:
            ValueError: the results are of another generation or of another size.
        """


def check_results(strategy: Strategy, candidates: Candidates, fitness: NDArray[np.float64]) -> None:
    """Refuse results that are not this generation's.

    Raises:
        ValueError: of another generation, another size, or not a number.
    """
    if candidates.generation != strategy.generation + 1:
        raise ValueError(
            f"tell expects generation {strategy.generation + 1}, got generation "
            f"{candidates.generation}; "
            "pass what the last ask returned"
        )
    if fitness.shape != (strategy.population_size,):
        raise ValueError(
            f"fitness must have shape ({strategy.population_size},), got {fitness.shape}"
        )
    if np.isnan(fitness).any():
        raise ValueError("fitness must not be NaN; a failed member has minus infinity")


def check_pairs(population_size: int) -> None:
    """Raises UserError unless a population of antithetic pairs can have this size."""
    if population_size < 2 or population_size % 2:
        even = max(2, population_size + population_size % 2)
        raise UserError(
            f"--population-size must be even and at least 2, since members come in pairs, got "
            f"{population_size}; use {even}"
        )


def out_of_range(deviations: NDArray[np.floating], initial: float) -> str | None:
    """Why a search whose standard deviations have become these is over, or None; ``initial`` is
    what they began as.
    """
    largest = float(deviations.max())
    if largest < 1e-12 * initial:
        return f"every standard deviation is below {1e-12 * initial:.1e}"
    if not largest < 1e12 * initial:
        return (
            f"a standard deviation grew to {largest:.1e}: the search runs away; bound the objective"
        )
    return None
