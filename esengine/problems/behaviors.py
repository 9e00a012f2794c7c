"""What an episode did, in a few numbers: what novelty is measured on (Lehman, Stanley 2011, doi
10.1162/EVCO_a_00025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import NotFiniteError, UserError, in_one_line
from esengine.simulators import Episode

BehaviorFunction = Callable[[Any, NDArray[np.floating]], Any]
"""Maps the unwrapped environment as an episode left it, and its last observation, (obs_dim,), to
some numbers.
"""


@dataclass(frozen=True)
class Behavior:
    """How an episode's behaviour is computed.

    Attributes:
        size: numbers of a behaviour.
        indices: those of the last observation that it consists of; all of them if there are none.
        function: a user's own, or None.
    """

    size: int
    indices: tuple[int, ...] = ()
    function: BehaviorFunction | None = None

    @classmethod
    def of_observation(cls, observation_dim: int, indices: tuple[int, ...]) -> Behavior:
        """The last observation, or a part of it. Raises UserError for an index that it has not."""
        wrong = [index for index in indices if not 0 <= index < observation_dim]
        if wrong:
            raise UserError(
                f"--behavior-indices must lie between 0 and {observation_dim - 1}, the "
                f"observation's numbers, got {wrong[0]}"
            )
        return cls(len(indices) or observation_dim, indices)

    @classmethod
    def of_function(
        cls, function: BehaviorFunction, env: Any, observation: NDArray[np.floating]
    ) -> Behavior:
        """A user's function, called once to learn how many numbers it gives. Raises UserError if it
        gives none.
        """
        try:
            size = np.asarray(function(env.unwrapped, observation), np.float64).ravel().size
        except Exception as error:
            raise UserError(
                f"--behavior must give numbers for a new episode, but raised "
                f"{type(error).__name__}: {error}"
            ) from error
        if size < 1:
            raise UserError("--behavior must give at least one number for an episode, got none")
        return cls(size, function=function)

    def compute(self, simulator: Any, episode: Episode) -> NDArray[np.float64]:
        """The behaviour of an episode that has just ended, (size,)."""
        assert episode.last_observation is not None
        if self.function is not None:
            behavior = self.function(simulator.env.unwrapped, episode.last_observation)
        else:
            behavior = (
                episode.last_observation[list(self.indices)]
                if self.indices
                else episode.last_observation
            )
        flat = np.array(behavior, np.float64).ravel()  # the function may use one array again
        if flat.size != self.size:
            raise ValueError(
                f"a behaviour must have {self.size} numbers as the first one had, got {flat.size}"
            )
        if not np.isfinite(flat).all():
            raise NotFiniteError(
                f"a behaviour must be finite, got {in_one_line(flat)} for an episode"
            )
        return flat
