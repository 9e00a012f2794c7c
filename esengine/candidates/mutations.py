"""Parents mutated once each, and the chains of mutations that the parents are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine import kernels
from esengine.candidates.contract import Candidates, Message
from esengine.noise import Noise
from esengine.seeding import derive_key


@dataclass(frozen=True)
class Genomes:
    """Rows as chains of noise addresses: an initial row and, for each genome, its mutations from oldest to newest.

    Attributes:
        root: (dimension,) the row that all chains start from.
        generations: (num_links,) int64 generation of each link, all genomes after one another.
        members: (num_links,) int64 member of each link.
        sigmas: (num_links,) float64 step size of each link.
        offsets: (num_genomes + 1,) int64 where each genome's links begin.
    """

    root: NDArray[np.floating]
    generations: NDArray[np.int64]
    members: NDArray[np.int64]
    sigmas: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def rows(self, noise: Noise, seed: int) -> NDArray[np.floating]:
        """Dense rows of all genomes, (num_genomes, dimension), in the precision of ``root``."""
        starts = np.empty(self.members.size, np.int64)
        for generation in np.unique(self.generations):
            here = self.generations == generation
            starts[here] = noise.starts(seed, int(generation), self.members[here])
        rows = np.empty((self.offsets.size - 1, self.root.size), self.root.dtype)
        scales = self.sigmas.astype(self.root.dtype)
        for i, row in enumerate(rows):
            links = slice(self.offsets[i], self.offsets[i + 1])
            noise.apply_chain(self.root, starts[links], scales[links], row)
        return rows


@dataclass(frozen=True)
class MutatedParents(Candidates):
    """Parents mutated once each: member = parent + sigma * noise(seed, generation, member).

    The first ``num_unchanged`` members are rows carried over without a mutation, to be evaluated again. The others draw
    their parent uniformly from the remaining rows.

    Attributes:
        sigma: step size of this generation's mutations.
        lineage: number of the strategy that asks, since ``selected`` refers to its own previous generation.
        num_rows: number of rows, those carried over and the parents.
        num_unchanged: leading members (and rows) that are not mutated.
        unchanged_episodes: episodes that each of those runs.
        genomes: gives the rows as chains of noise addresses, enough to rebuild them anywhere.
        selected: (num_rows,) int64 members of the previous generation whose parameters are the rows, or None.
        parents: (num_rows, dimension) the rows, once a node has built them, or given by the strategy.
    """

    sigma: float
    lineage: int = 0
    num_rows: int = 1
    num_unchanged: int = 0
    unchanged_episodes: int = 1
    genomes: Callable[[], Genomes] | None = None
    selected: NDArray[np.int64] | None = None
    parents: NDArray[np.floating] | None = field(default=None, repr=False)

    @property
    def dimension(self) -> int:
        assert self.parents is not None
        return int(self.parents.shape[1])

    def publish(self, previous: Candidates | None) -> Message:
        follows = isinstance(previous, MutatedParents) and (
            (previous.seed, previous.lineage, previous.generation + 1) == (self.seed, self.lineage, self.generation)
        )
        if self.parents is not None:
            arrays: dict[str, NDArray[Any]] = {"parents": self.parents}
        elif self.selected is not None and follows:
            arrays = {"selected": self.selected}
        else:
            assert self.genomes is not None
            arrays = self.genomes().arrays()
        return self._header(), arrays

    @classmethod
    def receive(
        cls, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]], previous: Candidates | None, noise: Noise
    ) -> MutatedParents:
        if "parents" in arrays:
            parents = arrays["parents"]
        elif "selected" in arrays:
            assert isinstance(previous, MutatedParents)
            parents = previous.members(noise, arrays["selected"])
        else:
            parents = Genomes(**arrays).rows(noise, header["seed"])
        return cls(**header, parents=parents)

    def shared(self) -> Message:
        assert self.parents is not None
        return self._header(), {"parents": self.parents}

    def parent_indices(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row that each member is a copy or a mutation of, (num_members,) int64."""
        key = np.uint64(derive_key(self.seed, "parent", self.generation))
        indices: NDArray[np.int64] = kernels.parent_indices(key, members, self.num_unchanged, self.num_rows)
        return indices

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        return self.members(noise, np.arange(start, stop))

    def members(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.floating]:
        """Parameters of any members, (num_members, dimension)."""
        assert self.parents is not None
        rows = np.empty((members.size, self.dimension), self.parents.dtype)
        scales = np.full(members.size, self.sigma, self.parents.dtype)
        scales[members < self.num_unchanged] = 0
        starts = noise.starts(self.seed, self.generation, members)
        noise.perturb(self.parents, self.parent_indices(members), starts, scales, rows)
        return rows

    def num_episodes(self, member: int) -> int | None:
        return self.unchanged_episodes if member < self.num_unchanged else None

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """Non-zero weights of mutated members and their starts; unchanged members have no noise."""
        members = np.flatnonzero(weights)
        members = members[members >= self.num_unchanged]
        return weights[members], noise.starts(self.seed, self.generation, members)

    def _header(self) -> dict[str, Any]:
        names = ("seed", "generation", "population_size", "sigma", "lineage", "num_rows", "num_unchanged", "unchanged_episodes")
        return {name: getattr(self, name) for name in names}
