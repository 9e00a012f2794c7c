"""The base class of all populations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from esengine.noise import Noise

Message = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Candidates:
    """A population that a strategy asks to evaluate.

    Attributes:
        seed: the run's seed, the first part of every noise address.
        generation: number of the generation, from 1 on.
        population_size: number of members, ids 0 to population_size - 1.
        episode_purpose: part of the seeds of start states.
    """

    seed: int
    generation: int
    population_size: int

    episode_purpose: ClassVar[str] = "episode"

    @property
    def search_population(self) -> Candidates:
        """The members that belong to the search, for sums over them."""
        return self

    @property
    def members_per_start(self) -> int:
        """How many members in a row share start states; 0 leaves that to the problem."""
        return 0

    @property
    def dimension(self) -> int:
        """The number of parameters of a member."""
        raise NotImplementedError

    def shared(self) -> Message:
        """The whole population as a header and arrays, which the ranks of a node map.

        The header holds the fields that are numbers or strings.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        scalars = int | float | str | np.generic
        header = {name: value for name, value in values.items() if isinstance(value, scalars)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        return header, arrays

    def publish(self, previous: Candidates | None) -> Message:
        """The header and the arrays that travel once to every node.

        Args:
            previous: the population before this one, which the nodes still have.
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
        """The population rebuilt from what `publish` or `shared` returned."""
        values: dict[str, Any] = {**header, **arrays}
        return cls(**values)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        """The parameters of some members, (stop - start, dimension).

        A member's bits do not depend on the other members in the call.
        """
        raise NotImplementedError

    def row(self, noise: Noise, member: int) -> NDArray[np.floating]:
        """The parameters of one member, (dimension,)."""
        return self.rows(noise, member, member + 1)[0]

    def chosen_rows(self, noise: Noise, members: NDArray[np.int64]) -> NDArray[np.floating]:
        """The parameters of any members, (num_members, dimension); at least one."""
        return np.array([self.row(noise, member) for member in members.tolist()])

    def num_episodes(self, member: int) -> int | None:
        """The number of episodes that this member must run, or None for the problem's setting."""
        return None

    def weighted_starts(
        self, noise: Noise, weights: NDArray[np.floating], power: int = 1
    ) -> tuple[NDArray[np.floating], NDArray[np.int64]]:
        """The terms of a sum of the members' noise: non-zero weights, and the start that belongs to
        each.

        Args:
            noise: the node's noise.
            weights: (population_size,) one per member.
            power: 1 for a sum of noise, 2 for a sum of squared noise.
        """
        members = np.flatnonzero(weights)
        return weights[members], noise.starts(self.seed, self.generation, members)
