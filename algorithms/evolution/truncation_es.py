"""Truncation selection: keep the best fraction of the members and mutate it (Such et al. 2017,
arXiv 1712.06567).

Each member is a copy of one parent with one mutation, and a genome is a chain of noise addresses,
see `genome_tree`. One lucky score makes no elite: the best newcomers run more episodes in the next
generation, from the same starts as the elite, and the best of them is the next elite. Scores of
other generations do not count, because the meaning of fitness may change with the generation: a
learned reward, novelty, goals, the scaling of observations. Step sizes follow a
schedule, or are inherited and mutated (Beyer, Schwefel 2002, "Evolution strategies: a comprehensive
introduction", section 4.2). Weighted recombination is in `recombining_es`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.evolution.cma_coefficients import default_population_size
from esengine.algorithms.evolution.genome_tree import GenomeTree
from esengine.algorithms.evolution.mean_search import geometric_mean
from esengine.algorithms.evolution.ranking import best_first
from esengine.algorithms.evolution.recombining_es import RecombiningES
from esengine.algorithms.evolution.step_sizes import StepSizeSettings
from esengine.algorithms.saved_state import SavedState
from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, MutatedParents
from esengine.checks import at_least, belong_to, within
from esengine.errors import UserError
from esengine.pool.population import Population

_LINEAGES = itertools.count(1)
# Generations; a chain has at most about as many links as their sum
_REBASE_EVERY = 64
_REBASE_BACK = 32


@dataclass(frozen=True)
class TruncationESSettings(StepSizeSettings):
    """Keep the best fraction of the population and mutate it."""

    antithetic: ClassVar[bool] = False
    usual_sigma: ClassVar[float] = 0.5
    paper_sigma: ClassVar[float | None] = 0.03

    population_size: int | None = None
    """Members per generation, including the re-evaluated ones; default 4 (4 + 3 ln(parameters)).
    """
    sigma: float | None = None
    """Standard deviation of a mutation; default 0.5 in objectives. In environments it is 0.03, and
    four or sixteen times as much if trials before the search gain more by it.
    """
    parent_fraction: float = 0.2
    """Fraction of the population that may have offspring."""
    recombination: Literal["none", "weighted"] = "none"
    """Mutate single parents, or the weighted mean of all parents with an adapted step size."""
    sigma_decay: float = 1.0
    """Factor on sigma per generation, without recombination."""
    sigma_floor: float = 0.0
    """Lower bound of sigma for schedules and self-adaptation, without recombination."""
    sigma_generations: int | None = None
    """Reduce sigma to the floor linearly over this number of generations, instead of by a factor.
    """
    self_adaptive: bool = False
    """Let members inherit their parent's sigma and mutate it, without recombination."""
    adaptation_rate: float | None = None
    """Standard deviation of the mutation of log sigma with --self-adaptive; default 1 / sqrt(2
    parameters).
    """
    crossover: float = 0.0
    """Probability that a member also takes the last mutation of a second parent, without
    recombination.
    """
    elite_candidates: int = 4
    """New members per generation that are re-evaluated as candidates for the elite, without
    recombination.
    """
    elite_episodes: int = 10
    """Episodes per generation for the elite and each of its candidates."""

    def size_for(self, n: int) -> int:
        """Members per generation for ``n`` parameters."""
        return self.population_size or max(self._least, 4 * default_population_size(n))

    def num_parents(self, population_size: int) -> int:
        """The number of members that may have offspring."""
        return int(self.parent_fraction * population_size + 1e-9)

    def num_contenders(self, population_size: int) -> int:
        """The number of members that are re-evaluated: the elite and its candidates. Small
        populations have fewer candidates.
        """
        return 1 + min(self.elite_candidates, max(1, population_size // 16))

    @property
    def _least(self) -> int:
        """The smallest population."""
        return max(4, math.ceil(1 / self.parent_fraction - 1e-9))

    def check(self) -> None:
        """Raises UserError for settings that no population can follow."""
        super().check()
        within(self, 0, 1, "parent_fraction", ends="()", way_out="0.2 keeps the best fifth")
        within(self, 0, 1, "crossover", way_out="0 turns it off")
        at_least(self, 1, "elite_candidates", "elite_episodes")
        self._check_schedule()
        if self.recombination == "weighted":
            schedule = ("sigma_decay", "sigma_floor", "sigma_generations")
            adaptation = ("self_adaptive", "adaptation_rate", "crossover")
            belong_to(self, "--recombination none", "weighted", *schedule, *adaptation)

        least = self._least
        if self.population_size is not None and self.population_size < least:
            raise UserError(
                f"--population-size must be at least {least} to leave a parent at "
                f"--parent-fraction {self.parent_fraction}, "
                f"got {self.population_size}; use {least} or more"
            )

    def _check_schedule(self) -> None:
        within(self, 0, 1, "sigma_decay", ends="(]", way_out="1 keeps sigma")
        if not 0 <= self.sigma_floor <= self.first_sigma:
            raise UserError(
                f"--sigma-floor must lie between 0 and --sigma {self.first_sigma}, got "
                f"{self.sigma_floor}; 0 is no floor"
            )
        if self.sigma_generations is not None and (
            self.sigma_generations < 1 or self.sigma_floor == 0
        ):
            raise UserError(
                "--sigma-generations must be at least 1, with a --sigma-floor above 0 to go down "
                "to, "
                f"got {self.sigma_generations} and {self.sigma_floor}; for example --sigma-floor "
                f"{self.first_sigma / 10:g}"
            )
        schedules = (self.sigma_decay != 1, self.sigma_generations is not None, self.self_adaptive)
        if sum(schedules) > 1:
            raise UserError(
                "sigma follows one of --sigma-decay, --sigma-generations and --self-adaptive, got "
                "more; drop the others"
            )
        if self.adaptation_rate is not None and not (
            self.self_adaptive and 0 < self.adaptation_rate <= 1
        ):
            raise UserError(
                f"--adaptation-rate must lie in (0, 1], with --self-adaptive, got "
                f"{self.adaptation_rate}; "
                "leave it out for its default"
            )

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,): `TruncationES`, or
        `RecombiningES` with recombination.
        """
        kind = TruncationES if self.recombination == "none" else RecombiningES
        return kind(self, initial, seed)


class TruncationES(SavedState):
    """The strategy without recombination. Its state is the tree, the contenders and parents in it,
    and the elite.

    Args:
        settings: checked settings.
        initial: (dimension,) the row that the first generation mutates.
        seed: the run's seed.
    """

    saved = (
        "generation",
        "_tree",
        "_rows",
        "_deviations",
        "_num_contenders",
        "_elite_fitness",
        "_elite",
    )

    def __init__(
        self, settings: TruncationESSettings, initial: NDArray[np.floating], seed: int
    ) -> None:
        settings.check()
        self.settings = settings
        self.seed = seed
        self.population_size = settings.size_for(initial.size)
        self.generation = 0
        self._lineage = next(_LINEAGES)
        self._adaptation_rate = settings.adaptation_rate or 1 / math.sqrt(2 * initial.size)

        self._tree = GenomeTree(initial)
        self._rows = np.zeros(1, np.int64)  # nodes of the contenders and then of the parents
        self._deviations = np.full(1, settings.first_sigma)  # step sizes of the rows
        self._selected: NDArray[np.int64] | None = None  # members that the rows were
        self._num_contenders = 0
        self._elite_fitness = math.nan  # in the last generation; NaN before it was re-evaluated
        self._elite = np.array(initial)

    def ask(self) -> MutatedParents:
        return MutatedParents(
            self.seed,
            self.generation + 1,
            self.population_size,
            self.sigma,
            lineage=self._lineage,
            num_rows=self._rows.size,
            num_unchanged=self._num_contenders,
            unchanged_episodes=self.settings.elite_episodes,
            crossover=self.settings.crossover,
            adaptation_rate=self._adaptation_rate,
            least_sigma=self.settings.sigma_floor,
            deviations=self._deviations if self.settings.self_adaptive else None,
            last_links=self._tree.last_links(self._rows) if self.settings.crossover else None,
            genomes=lambda: self._tree.genomes(self._rows),
            selected=self._selected,
        )

    @property
    def sigma(self) -> float:
        """The standard deviation of the next generation's mutations, or its geometric mean over the
        rows if it is self-adaptive.
        """
        settings = self.settings
        if settings.self_adaptive:
            return geometric_mean(self._deviations)
        if settings.sigma_generations is not None:
            left = max(0.0, 1 - self.generation / settings.sigma_generations)
            return settings.sigma_floor + left * (settings.first_sigma - settings.sigma_floor)
        return max(
            settings.sigma_floor, settings.first_sigma * settings.sigma_decay**self.generation
        )

    def tell(
        self, candidates: Candidates, fitness: NDArray[np.float64], population: Population
    ) -> None:
        check_results(self, candidates, fitness)
        assert isinstance(candidates, MutatedParents)

        # Elite and its next candidates
        order = best_first(fitness, self.seed, candidates.generation)
        newcomers = order[order >= self._num_contenders]
        most = self.settings.num_contenders(self.population_size)
        contenders = newcomers[:most]
        if self._num_contenders:
            elite = int(np.argmax(fitness[: self._num_contenders]))  # ties go to the elite
            self._elite_fitness = float(fitness[elite])
            contenders = np.concatenate([[elite], newcomers[: most - 1]])
        self._elite = population.row(int(contenders[0]))
        self._num_contenders = contenders.size

        # Truncation selection
        parents = order[: self.settings.num_parents(self.population_size)]
        self._select(candidates, np.concatenate([contenders, parents]), population)
        self.generation += 1

    def _select(
        self, candidates: MutatedParents, members: NDArray[np.int64], population: Population
    ) -> None:
        """Make ``members`` the next generation's rows."""
        generation = candidates.generation
        self._selected = members
        self._deviations = candidates.step_sizes(members)
        sigmas = np.where(members < candidates.num_unchanged, 0, self._deviations)

        mates = candidates.mates(members)
        mate_nodes = np.where(mates >= 0, self._rows[mates], -1)
        parents = self._rows[candidates.parent_indices(members)]
        nodes = self._tree.grow(parents, mate_nodes, generation, members, sigmas)
        self._rows = self._tree.prune(nodes)
        if generation % _REBASE_EVERY == 0:
            self._rows = self._tree.rebase(
                self._rows, generation - _REBASE_BACK, population.rebuild
            )

    def should_stop(self) -> str | None:
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self._elite

    def metrics(self) -> dict[str, float]:
        row = {"sigma": self.sigma}
        if not math.isnan(self._elite_fitness):
            row["elite_fitness"] = self._elite_fitness
        return row

    def restore(self, state: State) -> None:
        """Become the strategy that gave ``state``. Raises ValueError if the state contradicts
        itself.
        """
        super().restore(state)
        self._selected = None
        rows = self._rows
        count = self._num_contenders
        if not 0 <= count <= rows.size:
            raise ValueError("the contenders are not among the parents")
        if not rows.size or (rows < 0).any() or (rows >= self._tree.parents.size).any():
            raise ValueError("the parents are not in the ancestry")
