"""The populations of several searches, evaluated as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.candidates.gaussian import GaussianSamples
from esengine.candidates.given import GivenPoints
from esengine.candidates.limited import LimitedSamples
from esengine.candidates.lines import LineVariations
from esengine.candidates.restricted import RestrictedSamples
from esengine.candidates.scaled import ScaledSamples
from esengine.noise import Noise

_KINDS: dict[str, type[Candidates]] = {
    kind.__name__: kind
    for kind in (
        *(GaussianSamples, GivenPoints, LimitedSamples, LineVariations, RestrictedSamples),
        ScaledSamples,
    )
}


@dataclass(frozen=True)
class JointPopulation(Candidates):
    """The members of several populations, one after another.

    Their noise differs, since each population has its own seed.

    Attributes:
        parts: the populations, of the same dimension.
    """

    parts: tuple[Candidates, ...]

    @classmethod
    def of(cls, seed: int, parts: tuple[Candidates, ...]) -> JointPopulation:
        """The joint population of one generation of a run with this seed."""
        return cls(seed, parts[0].generation, sum(part.population_size for part in parts), parts)

    @property
    def dimension(self) -> int:
        return self.parts[0].dimension

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """The first member of each part, and the one after its last."""
        stops = np.cumsum([part.population_size for part in self.parts]).tolist()
        return list(zip([0, *stops], stops, strict=False))

    def publish(self, previous: Candidates | None) -> Message:
        before = _by_lineage(previous)
        return self._message(lambda part: part.publish(before.get(_lineage(part))))

    def shared(self) -> Message:
        return self._message(lambda part: part.shared())

    @classmethod
    def receive(
        cls,
        header: dict[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        previous: Candidates | None,
        noise: Noise,
    ) -> JointPopulation:
        before = _by_lineage(previous)
        parts = []
        for number, (kind, own) in enumerate(header["parts"]):
            prefix = f"{number}/"
            mine = {
                name.removeprefix(prefix): array
                for name, array in arrays.items()
                if name.startswith(prefix)
            }
            parts.append(_KINDS[kind].receive(own, mine, before.get(own.get("lineage")), noise))

        return cls(header["seed"], header["generation"], header["population_size"], tuple(parts))

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        rows = [
            part.rows(noise, max(start, first) - first, min(stop, last) - first)
            for part, (first, last) in zip(self.parts, self.bounds, strict=True)
            if start < last and first < stop
        ]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def normals(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.float64]:
        """z of members of Gaussian populations, in ascending order, (num_members, dimension)."""
        normals = []
        for part, (first, last) in zip(self.parts, self.bounds, strict=True):
            mine = members[(first <= members) & (members < last)] - first
            if mine.size:
                assert isinstance(part, GaussianSamples)
                normals.append(part.normals(noise, mine))
        return np.concatenate(normals)

    def inner_products(
        self, noise: Noise, members: NDArray[np.int64], start: int, stop: int
    ) -> NDArray[np.float64]:
        """See `RestrictedSamples.inner_products`; all members are of one population."""
        for part, (first, last) in zip(self.parts, self.bounds, strict=True):
            if first <= members[0] < last:
                assert isinstance(part, RestrictedSamples)
                return part.inner_products(noise, members - first, start, stop)
        raise AssertionError("members of no population")

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        found = [
            part.weighted_starts(noise, weights[first:last], power)
            for part, (first, last) in zip(self.parts, self.bounds, strict=True)
            if weights[first:last].any()
        ]
        if not found:
            return weights[:0], np.zeros(0, np.int64)

        part_weights, part_starts = zip(*found, strict=True)
        return np.concatenate(part_weights), np.concatenate(part_starts)

    def _message(self, message: Callable[[Candidates], Message]) -> Message:
        """The messages of all parts as one; the arrays of part 0 are named ``0/...`` and so on."""
        header, arrays = super().shared()
        header["parts"] = []
        for number, part in enumerate(self.parts):
            part_header, part_arrays = message(part)
            header["parts"].append((type(part).__name__, part_header))
            arrays |= {f"{number}/{name}": array for name, array in part_arrays.items()}
        return header, arrays


def _lineage(part: Candidates) -> int | None:
    return getattr(part, "lineage", None)


def _by_lineage(previous: Candidates | None) -> dict[int | None, Candidates]:
    """The parts of the previous joint population, by the strategy that asked for them."""
    if not isinstance(previous, JointPopulation):
        return {}
    return {_lineage(part): part for part in previous.parts}
