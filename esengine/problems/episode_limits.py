"""When training episodes end before the environment ends them.

The limits are a function of the generations before, so the order in which results arrive plays no
part, and they are published with the population. Evaluations ignore them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SHARE = 0.1  # of the members at the cap, from which on it grows


@dataclass
class EpisodeLimits:
    """An episode cap that grows with the episodes.

    The cap starts low, so that no worker waits for a few long episodes. Once a tenth of the members
    reach it, it becomes twice the mean length (Salimans et al. 2017, arXiv 1703.03864, section
    2.1).

    Attributes:
        cap: current limit of steps of an episode, or None for no cap.
    """

    cap: int | None = None

    def adapt(self, steps: NDArray[np.float64]) -> None:
        """Set the limits of the next generation.

        Args:
            steps: (num_members,) mean steps of an episode of each member that was limited.
        """
        if self.cap is not None and np.mean(steps >= self.cap) >= _SHARE:
            self.cap = max(self.cap, round(2 * float(np.mean(steps))))

    def pack(self) -> NDArray[np.float64]:
        """The cap, 0 for none, (1,)."""
        return np.array([self.cap or 0], np.float64)

    def unpack(self, packed: NDArray[np.float64]) -> None:
        """The inverse of `pack`."""
        self.cap = int(packed[0]) or None
