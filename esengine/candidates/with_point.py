"""A population with one more member, which is a given point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.candidates.gaussian import GaussianSamples
from esengine.candidates.given import GivenPoints
from esengine.candidates.joint import JointPopulation
from esengine.candidates.limited import LimitedSamples
from esengine.candidates.lines import LineVariations
from esengine.candidates.mutations import MutatedParents
from esengine.candidates.pairs import AntitheticPairs
from esengine.candidates.restricted import RestrictedSamples
from esengine.candidates.scaled import ScaledSamples
from esengine.noise import Noise

POPULATIONS: dict[str, type[Candidates]] = {
    kind.__name__: kind
    for kind in (
        MutatedParents,
        AntitheticPairs,
        ScaledSamples,
        GaussianSamples,
        LimitedSamples,
        LineVariations,
        RestrictedSamples,
        GivenPoints,
        JointPopulation,
    )
}
"""The populations that strategies ask for, by name."""
_INNER = "inner/"


@dataclass(frozen=True)
class WithPoint(Candidates):
    """The members of a population, then one that is a point, evaluated with them so that no rank
    waits for it.

    Attributes:
        inner: the population.
        point: (dimension,) in the problem's precision.
    """

    inner: Candidates
    point: NDArray[np.floating]

    @classmethod
    def of(cls, inner: Candidates, point: NDArray[np.floating]) -> WithPoint:
        """A population with a point."""
        return cls(inner.seed, inner.generation, inner.population_size + 1, inner, point)

    @property
    def search_population(self) -> Candidates:
        return self.inner

    @property
    def members_per_start(self) -> int:
        return self.inner.members_per_start

    @property
    def dimension(self) -> int:
        return self.inner.dimension

    def publish(self, previous: Candidates | None) -> Message:
        return self._message(self.inner.publish(previous))

    def shared(self) -> Message:
        return self._message(self.inner.shared())

    @classmethod
    def receive(
        cls,
        header: dict[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        previous: Candidates | None,
        noise: Noise,
    ) -> WithPoint:
        own = {
            name.removeprefix(_INNER): array
            for name, array in arrays.items()
            if name.startswith(_INNER)
        }
        kind = POPULATIONS[header["kind"]]
        return cls.of(kind.receive(header["inner"], own, previous, noise), arrays["point"])

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        last = self.population_size - 1
        if stop <= last:
            return self.inner.rows(noise, start, stop)
        point = np.array(self.point)[None]
        if start == last:
            return point
        return np.concatenate([self.inner.rows(noise, start, last), point])

    def num_episodes(self, member: int) -> int | None:
        return None if member == self.population_size - 1 else self.inner.num_episodes(member)

    def _message(self, message: Message) -> Message:
        header, arrays = message
        own = {f"{_INNER}{name}": array for name, array in arrays.items()}
        described = {"kind": type(self.inner).__name__, "inner": header}
        return described, {**own, "point": self.point}
