"""Populations described compactly: what a strategy asks to be evaluated, without one dense member.

Each class is both ends of one message: `publish` gives what travels once to every node, `receive` rebuilds the population
there, and `rows` makes the parameters of a run of members from the node's noise. `chunks` fixes the unit of all work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from esengine import kernels
from esengine.noise import Noise
from esengine.seeding import derive_key

_SAMPLE_BLOCK = 16  # members that share a matrix product, since one vector at a time runs at the speed of memory

Message = tuple[dict[str, Any], dict[str, NDArray[Any]]]


def chunk_size(population_size: int) -> int:
    """Members of a chunk, a function of the population alone, never of the ranks.

    Single members while the population is small, so that thousands of ranks stay busy; growing with the population, so that
    the number of messages stays bounded.
    """
    return max(1, min(256, population_size // 16384))


def evaluation_chunk_size(population_size: int, members_together: int) -> int:
    """Members of a chunk of evaluation: ``members_together``, rounded up to whole chunks of `chunk_size`."""
    size = chunk_size(population_size)
    return size * -(-members_together // size)


def chunks(population_size: int, size: int) -> list[tuple[int, int]]:
    """Bounds ``(start, stop)`` of consecutive chunks; the last may be short."""
    return [(start, min(start + size, population_size)) for start in range(0, population_size, size)]


@dataclass(frozen=True)
class Candidates:
    """What every population has.

    Attributes:
        seed: the run's seed, the first part of every noise address.
        generation: number of the generation, counted from 1.
        population_size: number of members, ids 0 to population_size - 1.
    """

    seed: int
    generation: int
    population_size: int

    episode_purpose: ClassVar[str] = "episode"

    @property
    def dimension(self) -> int:
        """Number of parameters of a member."""
        raise NotImplementedError

    def shared(self) -> Message:
        """Header and arrays of the whole population, which the ranks of a node map."""
        raise NotImplementedError

    def publish(self, previous: Candidates | None) -> Message:
        """Header and arrays that travel once to every node, where ``previous`` is the population before this one."""
        return self.shared()

    @classmethod
    def receive(
        cls, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]], previous: Candidates | None, noise: Noise
    ) -> Self:
        """The population rebuilt from what `publish` or `shared` gave."""
        fields: dict[str, Any] = {**header, **arrays}
        return cls(**fields)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        """Parameters of some members, (stop - start, dimension); the same bits whatever they are asked together with."""
        raise NotImplementedError

    def row(self, noise: Noise, member: int) -> NDArray[np.floating]:
        """Parameters of one member, (dimension,)."""
        row: NDArray[np.floating] = self.rows(noise, member, member + 1)[0]
        return row

    def num_episodes(self, member: int) -> int | None:
        """Episodes that this member must run, or None for the problem's setting."""
        return None

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """What a sum of the members' noise is made of: non-zero weights and the window starts that they belong to.

        Args:
            noise: where windows lie.
            weights: (population_size,) one a member.
            power: 1 for a sum of noise, 2 for one of squared noise.
        """
        members = np.flatnonzero(weights)
        return weights[members], noise.starts(self.seed, self.generation, members)


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


@dataclass(frozen=True)
class AntitheticPairs(Candidates):
    """Pairs that mirror each other: members 2k and 2k + 1 are mean + sigma * noise_k and mean - sigma * noise_k.

    noise_k = noise(seed, generation, k): a pair shares one window, which a sum over the members reads once.

    Attributes:
        sigma: standard deviation of every parameter.
        mean: (dimension,) in the problem's precision.
    """

    sigma: float
    mean: NDArray[np.floating]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def shared(self) -> Message:
        names = ("seed", "generation", "population_size", "sigma")
        return {name: getattr(self, name) for name in names}, {"mean": self.mean}

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        rows = np.empty((stop - start, self.dimension), self.mean.dtype)
        pairs = np.arange(start // 2, (stop + 1) // 2)
        noise.perturb_pairs(self.mean, noise.starts(self.seed, self.generation, pairs), self.sigma, start, rows)
        return rows

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """One weight a pair, see `pair_weights`."""
        return pair_weights(self, noise, weights, power)


@dataclass(frozen=True)
class ScaledSamples(Candidates):
    """Members with a standard deviation for every parameter: mean + deviations * noise(seed, generation, member).

    Attributes:
        antithetic: whether members 2k and 2k + 1 share noise_k, the second with the other sign.
        mean: (dimension,) in the problem's precision.
        deviations: (dimension,) in the same precision.
    """

    antithetic: bool
    mean: NDArray[np.floating]
    deviations: NDArray[np.floating]

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def shared(self) -> Message:
        names = ("seed", "generation", "population_size", "antithetic")
        return {name: getattr(self, name) for name in names}, {"mean": self.mean, "deviations": self.deviations}

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        rows = np.empty((stop - start, self.dimension), self.mean.dtype)
        members = np.arange(start, stop)
        windows = members // 2 if self.antithetic else members
        signs = 1 - 2 * (members % 2 if self.antithetic else np.zeros_like(members))
        starts = noise.starts(self.seed, self.generation, windows)
        noise.perturb_scaled(self.mean, self.deviations, starts, signs.astype(rows.dtype), rows)
        return rows

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        if self.antithetic:
            return pair_weights(self, noise, weights, power)
        return super().weighted_starts(noise, weights, power)


def pair_weights(
    candidates: Candidates, noise: Noise, weights: NDArray[np.floating], power: int
) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
    """One weight for each pair's window, since the second member has the noise of the first with the other sign.

    w+ - w- for a sum of noise, w+ + w- for one of its squares.
    """
    combined = weights[::2] - weights[1::2] if power == 1 else weights[::2] + weights[1::2]
    pairs = np.flatnonzero(combined)
    return combined[pairs], noise.starts(candidates.seed, candidates.generation, pairs)


@dataclass(frozen=True)
class GaussianSamples(Candidates):
    """Members drawn from a normal distribution: mean + sigma * A z with z = noise(seed, generation, member).

    Attributes:
        sigma: step size.
        mean: (dimension,) float64.
        transform: (dimension, dimension) float64 A with A A^T = C, or (0, 0) for the identity.
    """

    sigma: float
    mean: NDArray[np.float64]
    transform: NDArray[np.float64]
    _block: list[Any] = field(default_factory=lambda: [-1, None], repr=False, compare=False)  # sampled last: number, rows

    @property
    def dimension(self) -> int:
        return int(self.mean.size)

    def shared(self) -> Message:
        header = {name: getattr(self, name) for name in ("seed", "generation", "population_size", "sigma")}
        return header, {"mean": self.mean, "transform": self.transform}

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.float64]:
        rows = np.empty((stop - start, self.dimension))
        for block in range(start // _SAMPLE_BLOCK, -(-stop // _SAMPLE_BLOCK)):
            first = block * _SAMPLE_BLOCK
            if self._block[0] != block:  # neighbours are asked for one after the other
                last = min(first + _SAMPLE_BLOCK, self.population_size)
                self._block[:] = block, self.mean + self.sigma * self._steps(noise, first, last, _SAMPLE_BLOCK)[0]
            low, high = max(start, first), min(stop, first + _SAMPLE_BLOCK)
            rows[low - start : high - start] = self._block[1][low - first : high - first]
        return rows

    def moment_chunk_size(self) -> int:
        """Members of a chunk of `moments`: enough that one partial covariance costs less to send than to compute."""
        return max(32, self.dimension, -(-self.population_size // 256))

    def moments(
        self, noise: Noise, weights: NDArray[np.float64], start: int, stop: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weighted sums over a chunk of members: sum of w+ y, (n,), and sum of w' y y^T, (n, n).

        y = (x - mean) / sigma. The first sum takes the positive weights only, since they alone move the mean. In the second
        a negative weight is rescaled by n / |C^(-1/2) y|^2, which bounds its effect (arXiv 1604.00772, eq. 46).
        """
        steps, normals = self._steps(noise, start, stop, self.moment_chunk_size())
        chunk = np.zeros(len(steps))
        chunk[: stop - start] = weights[start:stop]
        lengths = np.sqrt(np.sum(normals**2, axis=1))
        rescaled = np.where(chunk < 0, chunk * self.dimension / (lengths + 1e-9) ** 2, chunk)
        return np.maximum(chunk, 0) @ steps, (rescaled[:, None] * steps).T @ steps

    def _steps(self, noise: Noise, start: int, stop: int, padded: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """y = A z and z of a chunk, both (padded, n); the rows past the chunk's end are zero."""
        normals = np.zeros((padded, self.dimension))
        starts = noise.starts(self.seed, self.generation, np.arange(start, stop))
        for row, first in zip(normals, starts, strict=False):
            noise.read(first, row)
        return (normals @ self.transform.T if self.transform.size else normals.copy()), normals


@dataclass(frozen=True)
class PolicyEpisodes(Candidates):
    """One policy run for many episodes, an episode a member: evaluation on starts that training never sees.

    Attributes:
        parameters: (dimension,) the policy.
        purpose: names the stream of start states; the same purpose and seed give the same starts.
    """

    parameters: NDArray[np.floating]
    purpose: str = "evaluation"

    @property
    def episode_purpose(self) -> str:  # type: ignore[override]
        return self.purpose

    @property
    def dimension(self) -> int:
        return int(self.parameters.size)

    def shared(self) -> Message:
        names = ("seed", "generation", "population_size", "purpose")
        return {name: getattr(self, name) for name in names}, {"parameters": self.parameters}

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        if stop - start == 1:
            return self.parameters[None]
        return np.broadcast_to(self.parameters, (stop - start, self.dimension))

    def num_episodes(self, member: int) -> int | None:
        return 1


KINDS: dict[str, type[Candidates]] = {
    kind.__name__: kind for kind in (MutatedParents, AntitheticPairs, ScaledSamples, GaussianSamples, PolicyEpisodes)
}
