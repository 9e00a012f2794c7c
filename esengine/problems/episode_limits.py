"""When training episodes end before the environment ends them: limits that follow from the
generations before.

Both are functions of whole generations, so the order in which results arrive plays no part, and
both are published with the population. Evaluations know neither.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.simulators.contract import Gate

_SHARE = 0.1  # of the members at the cap, from which on it grows


@dataclass
class EpisodeLimits:
    """An episode cap that grows with the episodes, and a gate for hopeless ones.

    The cap starts low, so that no worker waits for a few long episodes; when a tenth of the members
    run into it, it becomes twice the mean length (Salimans et al. 2017, arXiv 1703.03864, section
    2.1). The gate stops an episode whose return after ``gate_step`` steps is below a quantile of
    what the generation before had there. That favours policies that begin well.

    Attributes:
        cap: steps of an episode now, or None for no cap.
        gate_step: steps after which an episode is judged, 0 for never.
        gate_quantile: share of a generation that would not have passed.
        least: return that the next generation's episodes need at the gate.
    """

    cap: int | None = None
    gate_step: int = 0
    gate_quantile: float = 0.0
    least: float = -math.inf

    @property
    def gate(self) -> Gate:
        return Gate(self.gate_step, self.least)

    def adapt(self, steps: NDArray[np.float64], at_gate: NDArray[np.float64]) -> None:
        """Set the limits of the next generation.

        Args:
            steps: (num_members,) mean steps of an episode of each member that was limited.
            at_gate: (num_members,) mean return of each at the gate; NaN where it failed.
        """
        if self.cap is not None and np.mean(steps >= self.cap) >= _SHARE:
            self.cap = max(self.cap, round(2 * float(np.mean(steps))))
        passed = at_gate[np.isfinite(at_gate)]
        if self.gate_step and passed.size:
            self.least = float(np.quantile(passed, self.gate_quantile))

    def pack(self) -> NDArray[np.float64]:
        """Cap, 0 for none, and the least return at the gate, (2,)."""
        return np.array([self.cap or 0, self.least])

    def unpack(self, packed: NDArray[np.float64]) -> None:
        """Take over what `pack` gave."""
        self.cap, self.least = int(packed[0]) or None, float(packed[1])
