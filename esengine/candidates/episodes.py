"""One policy run for many episodes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.candidates.contract import Candidates
from esengine.noise import Noise


@dataclass(frozen=True)
class PolicyEpisodes(Candidates):
    """One policy run for many episodes, one per member, from starts that training never uses.

    Attributes:
        parameters: (dimension,) of the policy.
        purpose: of the start states; the same purpose and seed give the same starts.
    """

    parameters: NDArray[np.floating]
    purpose: str = "evaluation"

    @property
    def episode_purpose(self) -> str:  # type: ignore[override]
        return self.purpose

    @property
    def dimension(self) -> int:
        return int(self.parameters.size)

    def rows(self, noise: Noise, start: int, stop: int) -> NDArray[np.floating]:
        if stop - start == 1:
            return self.parameters[None]
        return np.broadcast_to(self.parameters, (stop - start, self.dimension))

    def num_episodes(self, member: int) -> int | None:
        return 1
