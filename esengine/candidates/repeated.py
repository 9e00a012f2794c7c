"""A population of which some members are evaluated twice, to measure the noise of fitness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates, Message
from esengine.candidates.with_point import POPULATIONS
from esengine.noise import Noise
from esengine.seeding import derive_key, generator

_INNER = "inner/"
_MOST = 32  # repeats: more measure noise no better than a search needs


@dataclass(frozen=True)
class RepeatedPopulation(Candidates):
    """The members of a population, and after them some of these once more, with other seeds.

    Attributes:
        inner: the population.
        repeated: (num_repeats,) int64, the members that are evaluated twice, in ascending order.
        common: whether all members of a generation share start states; the repeats then share
            others.
    """

    inner: Candidates
    repeated: NDArray[np.int64]
    common: bool

    @classmethod
    def around(cls, inner: Candidates, common: bool) -> RepeatedPopulation:
        """A population with a tenth of its members repeated, at least 2 and at most 32.

        Which ones depends on the seed and the generation alone. A member that has a number of
        episodes of its own is not repeated.
        """
        size = inner.population_size
        usual = [member for member in range(size) if inner.num_episodes(member) is None]
        count = min(len(usual), _MOST, max(2, size // 10))
        draw = generator(derive_key(inner.seed, "repeats", inner.generation))
        repeated = np.sort(draw.choice(np.array(usual, np.int64), count, replace=False))
        return cls._of(inner, repeated, common)

    @classmethod
    def _of(
        cls, inner: Candidates, repeated: NDArray[np.int64], common: bool
    ) -> RepeatedPopulation:
        size = inner.population_size + repeated.size
        return cls(inner.seed, inner.generation, size, inner, repeated, common)

    @property
    def search_population(self) -> Candidates:
        return self.inner

    @property
    def members_per_start(self) -> int:
        return self.inner.population_size if self.common else self.inner.members_per_start

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
    ) -> RepeatedPopulation:
        own = {
            name.removeprefix(_INNER): array
            for name, array in arrays.items()
            if name.startswith(_INNER)
        }
        inner = POPULATIONS[header["kind"]].receive(header["inner"], own, previous, noise)
        return cls._of(inner, np.array(arrays["repeated"]), header["common"])

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        size = self.inner.population_size
        rows = [self.inner.rows(noise, start, min(stop, size))] if start < size else []
        again = self.repeated[max(start - size, 0) : max(stop - size, 0)].tolist()
        rows += [self.inner.rows(noise, member, member + 1) for member in again]
        return rows[0] if len(rows) == 1 else np.concatenate(rows)

    def num_episodes(self, member: int) -> int | None:
        return self.inner.num_episodes(member) if member < self.inner.population_size else None

    def _message(self, message: Message) -> Message:
        header, arrays = message
        own = {f"{_INNER}{name}": array for name, array in arrays.items()}
        described = {"kind": type(self.inner).__name__, "inner": header, "common": self.common}
        return described, {**own, "repeated": self.repeated}
