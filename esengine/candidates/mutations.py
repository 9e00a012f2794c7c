"""Mutated parents, and the chains of mutations that the parents consist of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.noise import Noise, kernels
from esengine.seeding import derive_key, normals, uniforms


@dataclass(frozen=True)
class Genomes:
    """Rows as chains of noise addresses: for each genome a root and its mutations, oldest first.

    Attributes:
        roots: (num_roots, dimension) the rows that chains start from.
        origins: (num_genomes,) int64 the root of each genome.
        generations: (num_links,) int64 generation of each link, one genome after another.
        members: (num_links,) int64 member of each link.
        sigmas: (num_links,) float64 step size of each link.
        offsets: (num_genomes + 1,) int64 where each genome's links begin.
    """

    roots: NDArray[np.floating]
    origins: NDArray[np.int64]
    generations: NDArray[np.int64]
    members: NDArray[np.int64]
    sigmas: NDArray[np.float64]
    offsets: NDArray[np.int64]

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def rows(self, noise: Noise, seed: int) -> NDArray[np.floating]:
        """The dense rows of all genomes, (num_genomes, dimension), in the dtype of ``roots``."""
        starts = link_starts(noise, seed, self.generations, self.members)
        scales = self.sigmas.astype(self.roots.dtype)
        rows = np.empty((self.origins.size, self.roots.shape[1]), self.roots.dtype)
        for i, row in enumerate(rows):
            links = slice(self.offsets[i], self.offsets[i + 1])
            noise.apply_chain(self.roots[self.origins[i]], starts[links], scales[links], row)
        return rows


def link_starts(
    noise: Noise, seed: int, generations: NDArray[np.int64], members: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The starts of the noise of links, (num_links,) int64."""
    starts = np.empty(members.size, np.int64)
    for generation in np.unique(generations):
        here = generations == generation
        starts[here] = noise.starts(seed, int(generation), members[here])
    return starts


_TRAITS = ("deviations", "last_links")  # arrays about rows, apart from their parameters


@dataclass(frozen=True)
class MutatedParents(Candidates):
    """Parents, each mutated: member = parent + sigma * noise(seed, generation, member).

    The first ``num_unchanged`` members are rows that are carried over without a mutation and
    evaluated again. The other members draw their parents uniformly from the remaining rows. With
    crossover, some of them also take the last mutation of a second parent. With self-adaptation, a
    member's step size is its parent's times exp(``adaptation_rate`` N(0, 1)).

    Attributes:
        sigma: step size of this generation's mutations; if rows have ``deviations``, that of the
            first row.
        lineage: number of the strategy that asks, whose previous generation ``selected`` refers to.
        num_rows: number of rows: those carried over, and the parents.
        num_unchanged: number of leading members (and rows) that are not mutated.
        unchanged_episodes: episodes that each of those runs.
        crossover: probability that a member takes the last mutation of a second parent.
        adaptation_rate: standard deviation of the logarithm of a member's step size.
        least_sigma: the smallest step size that adaptation may reach.
        genomes: returns the rows as chains of noise addresses, from which any node can rebuild
            them.
        selected: (num_rows,) int64 members of the previous generation that are the rows, or None.
        parents: (num_rows, dimension) the rows, if the strategy gives them or a node has built
            them.
        deviations: (num_rows,) float64 step size of each row's lineage, or None for ``sigma``.
        last_links: (3, num_rows) float64 generation, member and step size of each row's last
            mutation, or None.
    """

    sigma: float
    lineage: int = 0
    num_rows: int = 1
    num_unchanged: int = 0
    unchanged_episodes: int = 1
    crossover: float = 0.0
    adaptation_rate: float = 0.0
    least_sigma: float = 0.0
    genomes: Callable[[], Genomes] | None = None
    selected: NDArray[np.int64] | None = None
    parents: NDArray[np.floating] | None = field(default=None, repr=False)
    deviations: NDArray[np.float64] | None = None
    last_links: NDArray[np.float64] | None = None

    @property
    def dimension(self) -> int:
        assert self.parents is not None
        return int(self.parents.shape[1])

    def publish(self, previous: Candidates | None) -> Message:
        header, arrays = self.shared()
        if self.parents is not None or not self._follows(previous):
            arrays.pop("selected", None)
        if not arrays.keys() & {"parents", "selected"}:
            assert self.genomes is not None
            arrays |= self.genomes().arrays()
        return header, arrays

    def _follows(self, previous: Candidates | None) -> bool:
        """Whether ``previous`` is the same strategy's last generation."""
        return isinstance(previous, MutatedParents) and (
            (previous.seed, previous.lineage, previous.generation + 1)
            == (self.seed, self.lineage, self.generation)
        )

    @classmethod
    def receive(
        cls,
        header: dict[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        previous: Candidates | None,
        noise: Noise,
    ) -> MutatedParents:
        traits: dict[str, Any] = {name: arrays[name] for name in _TRAITS if name in arrays}
        arrays = {name: array for name, array in arrays.items() if name not in traits}
        if "parents" in arrays:
            parents = arrays["parents"]
        elif "selected" in arrays:
            assert isinstance(previous, MutatedParents)
            parents = previous.members(noise, arrays["selected"])
        else:
            parents = Genomes(**arrays).rows(noise, header["seed"])

        return cls(**header, parents=parents, **traits)

    def parent_indices(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row that each member is a copy or a mutation of, (num_members,) int64."""
        return self._drawn_rows("parent", members)

    def mates(self, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row whose last mutation each member also takes, (num_members,) int64; -1 for none.

        There is no crossover if the second parent has no mutation, or the same one as the first.
        """
        if not self.crossover:
            return np.full(members.size, -1)

        assert self.last_links is not None
        mates = self._drawn_rows("mate", members)
        parents = self.parent_indices(members)
        key = np.uint64(derive_key(self.seed, "crossover", self.generation))
        crossed = uniforms(key, members) < self.crossover
        crossed &= members >= self.num_unchanged
        crossed &= self.last_links[2, mates] > 0
        crossed &= (self.last_links[:, mates] != self.last_links[:, parents]).any(axis=0)
        return np.where(crossed, mates, -1)

    def step_sizes(self, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """The step size of each member's mutation, (num_members,). A member without a mutation has
        the step size of its lineage.
        """
        if self.deviations is None:
            return np.full(members.size, self.sigma)

        inherited = self.deviations[self.parent_indices(members)]
        key = np.uint64(derive_key(self.seed, "adaptation", self.generation))
        factors = np.exp(self.adaptation_rate * normals(key, members))
        adapted = np.maximum(self.least_sigma, inherited * factors)
        return np.where(members < self.num_unchanged, inherited, adapted)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        return self.members(noise, np.arange(start, stop))

    def members(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.floating]:
        """The parameters of any members, (num_members, dimension)."""
        assert self.parents is not None
        rows = np.empty((members.size, self.dimension), self.parents.dtype)
        scales = self.step_sizes(members).astype(self.parents.dtype)
        scales[members < self.num_unchanged] = 0
        starts = noise.starts(self.seed, self.generation, members)
        noise.perturb(self.parents, self.parent_indices(members), starts, scales, rows)

        mates = self.mates(members)
        crossed = np.flatnonzero(mates >= 0)
        if crossed.size:
            rows[crossed] = self._crossed(
                noise, members[crossed], mates[crossed], starts[crossed], scales[crossed]
            )

        return rows

    def num_episodes(self, member: int) -> int | None:
        return self.unchanged_episodes if member < self.num_unchanged else None

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """The non-zero weights of mutated members, and their starts. Unchanged members have no
        noise.
        """
        members = np.flatnonzero(weights)
        members = members[members >= self.num_unchanged]
        return weights[members], noise.starts(self.seed, self.generation, members)

    def _crossed(
        self,
        noise: Noise,
        members: NDArray[np.int64],
        mates: NDArray[np.int64],
        starts: NDArray[np.int64],
        scales: NDArray[np.floating],
    ) -> NDArray[np.floating]:
        """The parameters of members with crossover: the parent, the mate's last mutation and the
        member's own mutation, added in this order as in a genome.
        """
        assert self.parents is not None
        assert self.last_links is not None
        dtype = self.parents.dtype
        generations, link_members = self.last_links[:2, mates].astype(np.int64)
        sigmas = self.last_links[2, mates].astype(dtype)
        mate_starts = link_starts(noise, self.seed, generations, link_members)
        crossed = np.empty((members.size, self.dimension), dtype)
        noise.perturb(self.parents, self.parent_indices(members), mate_starts, sigmas, crossed)

        rows = np.empty_like(crossed)
        noise.perturb(crossed, np.arange(members.size), starts, scales, rows)

        return rows

    def _drawn_rows(self, purpose: str, members: NDArray[np.int64]) -> NDArray[np.int64]:
        key = np.uint64(derive_key(self.seed, purpose, self.generation))
        return kernels.parent_indices(key, members, self.num_unchanged, self.num_rows)
