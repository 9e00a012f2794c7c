"""What every population has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from esengine.noise.contract import Noise

Message = tuple[dict[str, Any], dict[str, NDArray[Any]]]


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
        """Header and arrays that travel once to every node, where ``previous`` is the population
        before this one.
        """
        return self.shared()

    @classmethod
    def receive(
        cls,
        header: dict[str, Any],
        arrays: Mapping[str, NDArray[Any]],
        previous: Candidates | None,
        noise: Noise,
    ) -> Self:
        """The population rebuilt from what `publish` or `shared` gave."""
        fields: dict[str, Any] = {**header, **arrays}
        return cls(**fields)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        """Parameters of some members, (stop - start, dimension); the same bits whatever they are
        asked together with.
        """
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
        """What a sum of the members' noise is made of: non-zero weights and the window starts that
        they belong to.

        Args:
            noise: where windows lie.
            weights: (population_size,) one a member.
            power: 1 for a sum of noise, 2 for one of squared noise.
        """
        members = np.flatnonzero(weights)
        return weights[members], noise.starts(self.seed, self.generation, members)
