"""Truncation selection: guess, keep the best fifth, mutate (Such et al. 2017, arXiv 1712.06567).

Each member is a copy of one parent with one mutation, and a genome is a chain of noise addresses. Elites are never kept on one
lucky score: the best newcomers run more episodes in the next generation, and the elite is the one with the best mean over all
its later episodes. Weighted recombination is in `recombining_es`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.ranking import best_first
from esengine.algorithms.strategy import State, Strategy, check_results
from esengine.candidates import Candidates, Genomes, MutatedParents
from esengine.errors import UserError
from esengine.pool import Population

_LINEAGES = itertools.count(1)


@dataclass(frozen=True)
class TruncationESSettings:
    """Keep the best fraction of the population and mutate it."""

    antithetic: ClassVar[bool] = False

    population_size: int = 256
    """Members of a generation, those that are re-evaluated included."""
    sigma: float = 0.5
    """Standard deviation of a mutation."""
    parent_fraction: float = 0.2
    """Fraction of the population that may have offspring."""
    recombination: Literal["none", "weighted"] = "none"
    """Mutate single parents, or the weighted mean of all parents with an adapted step size."""
    sigma_decay: float = 1.0
    """Factor on sigma after every generation, without recombination."""
    elite_candidates: int = 4
    """Newcomers that run again each generation for the place of the elite, without recombination."""
    elite_episodes: int = 10
    """Episodes that the elite and its candidates run each generation."""

    @property
    def num_parents(self) -> int:
        return int(self.parent_fraction * self.population_size + 1e-9)

    @property
    def num_contenders(self) -> int:
        """The elite and its candidates; a small population has fewer."""
        return 1 + min(self.elite_candidates, max(1, self.population_size // 16))

    def check(self) -> None:
        """Raises UserError for settings that no population can follow."""
        if not 0 < self.parent_fraction < 1:
            raise UserError(f"--parent-fraction must lie between 0 and 1, got {self.parent_fraction}; 0.2 keeps the best fifth")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise UserError(f"--sigma must be positive, got {self.sigma}; {TruncationESSettings.sigma} is the default")
        if not 0 < self.sigma_decay <= 1:
            raise UserError(f"--sigma-decay must lie in (0, 1], got {self.sigma_decay}; 1 keeps sigma")
        if self.elite_candidates < 1 or self.elite_episodes < 1:
            raise UserError(
                "--elite-candidates and --elite-episodes must be at least 1, "
                f"got {self.elite_candidates} and {self.elite_episodes}"
            )
        least = max(4, math.ceil(1 / self.parent_fraction - 1e-9))
        if self.population_size < least:
            raise UserError(
                f"--population-size must be at least {least} to leave a parent at --parent-fraction {self.parent_fraction}, "
                f"got {self.population_size}; use {least} or more"
            )

    def strategy(self, initial: NDArray[np.floating], seed: int) -> Strategy:
        """A new strategy that starts from ``initial``, (dimension,): with recombination it is another one."""
        if self.recombination == "none":
            return TruncationES(self, initial, seed)
        from esengine.algorithms.recombining_es import RecombiningES

        return RecombiningES(self, initial, seed)


class TruncationES:
    """Truncation selection without recombination.

    Args:
        settings: checked settings.
        initial: (dimension,) the row that the first generation mutates.
        seed: the run's seed.
    """

    def __init__(self, settings: TruncationESSettings, initial: NDArray[np.floating], seed: int) -> None:
        settings.check()
        self.settings, self.seed = settings, seed
        self.population_size = settings.population_size
        self.generation = 0
        self._lineage = next(_LINEAGES)
        self._tree = GenomeTree(initial)
        self._rows = np.zeros(1, np.int64)  # the tree's nodes of the contenders and then the parents
        self._num_contenders = 0
        self._selected: NDArray[np.int64] | None = None
        self._scores = np.zeros((0, 2))  # sum of returns and number of episodes of each contender
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
            genomes=lambda: self._tree.genomes(self._rows),
            selected=self._selected,
        )

    @property
    def sigma(self) -> float:
        """Standard deviation of the next generation's mutations."""
        return self.settings.sigma * self.settings.sigma_decay**self.generation

    def tell(self, candidates: Candidates, fitness: NDArray[np.float64], population: Population) -> None:
        check_results(self, candidates, fitness)
        assert isinstance(candidates, MutatedParents)
        order = best_first(fitness, self.seed, candidates.generation)
        newcomers = order[order >= self._num_contenders]
        contenders = newcomers[: self.settings.num_contenders]
        scores = np.zeros((contenders.size, 2))
        if self._num_contenders:
            elite = self._choose_elite(fitness)
            contenders = np.concatenate([[elite], newcomers[: self.settings.num_contenders - 1]])
            scores[0] = self._scores[elite]
        self._elite = population.row(int(contenders[0]))
        self._select(candidates, np.concatenate([contenders, order[: self.settings.num_parents]]))
        self._num_contenders, self._scores = contenders.size, scores
        self.generation += 1

    def _choose_elite(self, fitness: NDArray[np.float64]) -> int:
        """The contender with the best mean over its re-evaluations; the one in office keeps a tie."""
        episodes = self.settings.elite_episodes
        score = fitness[: self._num_contenders] * episodes
        self._scores += np.column_stack([score, np.full(score.size, episodes)])
        return int(np.argmax(self._scores[:, 0] / self._scores[:, 1]))

    def _select(self, candidates: MutatedParents, members: NDArray[np.int64]) -> None:
        """Make ``members`` the next generation's rows."""
        parents = self._rows[candidates.parent_indices(members)]
        mutated = members >= candidates.num_unchanged
        self._rows = self._tree.grow(parents, mutated, candidates.generation, members, candidates.sigma)
        self._rows = self._tree.prune(self._rows)
        self._selected = members

    def should_stop(self) -> str | None:
        return None

    def parameters(self) -> NDArray[np.floating]:
        return self._elite

    def metrics(self) -> dict[str, float]:
        row = {"sigma": self.sigma}
        if self._scores.size and self._scores[0, 1]:
            row["elite_fitness"] = float(self._scores[0, 0] / self._scores[0, 1])
        return row

    def state(self) -> State:
        return {
            "generation": np.array(self.generation),
            "rows": self._rows,
            "num_contenders": np.array(self._num_contenders),
            "scores": self._scores,
            "elite": self._elite,
            **{f"tree/{name}": array for name, array in self._tree.state().items()},
        }

    def restore(self, state: State) -> None:
        self.generation = int(state["generation"])
        self._rows = state["rows"]
        self._num_contenders = int(state["num_contenders"])
        self._scores = state["scores"]
        self._elite = state["elite"]
        self._selected = None
        self._tree.restore({name[5:]: array for name, array in state.items() if name.startswith("tree/")})
        if not (0 <= self._num_contenders <= self._rows.size and self._scores.shape == (self._num_contenders, 2)):
            raise ValueError("the contenders are not among the parents")
        if (self._rows < 0).any() or (self._rows >= self._tree.parents.size).any() or not self._rows.size:
            raise ValueError("the parents are not in the ancestry")


class GenomeTree:
    """The living ancestry: node 0 is the initial row, every other node one mutation of its parent node.

    Args:
        root: (dimension,) the initial row.
    """

    def __init__(self, root: NDArray[np.floating]) -> None:
        self.root = np.array(root)
        self.parents = np.array([-1], np.int64)
        self.generations = np.zeros(1, np.int64)
        self.members = np.zeros(1, np.int64)
        self.sigmas = np.zeros(1)

    def grow(
        self,
        parents: NDArray[np.int64],
        mutated: NDArray[np.bool_],
        generation: int,
        members: NDArray[np.int64],
        sigma: float,
    ) -> NDArray[np.int64]:
        """Nodes of the selected members: a new one for each different mutation, the parent's own for an unchanged copy."""
        fresh, index, inverse = np.unique(members[mutated], return_index=True, return_inverse=True)
        first = np.flatnonzero(mutated)[index]
        nodes = parents.copy()
        nodes[mutated] = self.parents.size + inverse
        self.parents = np.concatenate([self.parents, parents[first]])
        self.generations = np.concatenate([self.generations, np.full(fresh.size, generation)])
        self.members = np.concatenate([self.members, fresh])
        self.sigmas = np.concatenate([self.sigmas, np.full(fresh.size, sigma)])
        return nodes

    def prune(self, leaves: NDArray[np.int64]) -> NDArray[np.int64]:
        """Forget the nodes that no leaf descends from; returns the leaves' new numbers."""
        alive = np.zeros(self.parents.size, bool)
        alive[0] = True
        frontier = np.unique(leaves)
        while frontier.size:
            alive[frontier] = True
            above = np.unique(self.parents[frontier])
            frontier = above[(above >= 0) & ~alive[above]]
        renumber = np.cumsum(alive) - 1
        parents = self.parents[alive]
        self.parents = np.where(parents >= 0, renumber[parents], -1)
        self.generations, self.members = self.generations[alive], self.members[alive]
        self.sigmas = self.sigmas[alive]
        return renumber[leaves]

    def genomes(self, leaves: NDArray[np.int64]) -> Genomes:
        """The chains from the root to each leaf."""
        chains = []
        for leaf in leaves:
            chain, node = [], int(leaf)
            while node > 0:
                chain.append(node)
                node = int(self.parents[node])
            chains.append(chain[::-1])
        nodes = np.array([node for chain in chains for node in chain], np.int64)
        offsets = np.concatenate([[0], np.cumsum([len(chain) for chain in chains])]).astype(np.int64)
        return Genomes(self.root, self.generations[nodes], self.members[nodes], self.sigmas[nodes], offsets)

    def state(self) -> State:
        return {name: getattr(self, name) for name in ("root", "parents", "generations", "members", "sigmas")}

    def restore(self, state: State) -> None:
        """Take the ancestry of `state`. Raises ValueError if a node does not come after its parent."""
        parents = state["parents"]
        if len({array.shape for name, array in state.items() if name != "root"}) != 1 or parents.size < 1:
            raise ValueError("the ancestry has parts of different lengths")
        if parents[0] != -1 or (parents[1:] < 0).any() or (parents[1:] >= np.arange(1, parents.size)).any():
            raise ValueError("the ancestry has a node that does not come after its parent")
        for name, array in state.items():
            setattr(self, name, array)
