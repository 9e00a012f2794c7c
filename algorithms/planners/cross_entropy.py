"""The cross-entropy method (Rubinstein and Kroese 2004), with a few elites carried over (Pinneri et
al. 2020, "iCEM").

Candidates are drawn from a Gaussian; it becomes the Gaussian of the best of them, again and again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import (
    Attraction,
    Plan,
    first_guess,
    returns_of,
)
from esengine.algorithms.planners.sampling import SamplingPlanner
from esengine.checks import at_least, positive, within
from esengine.simulators.dynamics import Dynamics

_KEPT = 0.3  # of the elites, which compete again in the next iteration; the share of iCEM


@dataclass(frozen=True)
class CrossEntropy(SamplingPlanner):
    """Plan by a Gaussian over controls that is fitted to its best candidates, again and again."""

    num_candidates: int = 64
    """Control sequences that an iteration tries."""
    num_iterations: int = 4
    """Times that the Gaussian is fitted."""
    elite_fraction: float = 0.1
    """Part of the candidates that it is fitted to, two at least."""
    least_sigma: float = 0.05
    """Standard deviation that they keep at least, in halves of their range."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner."""
        super().check(dynamics)
        positive(self, "least_sigma")
        at_least(self, 2, "num_candidates")
        within(self, 0, 1, "elite_fraction", ends="(]")

    def plan(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        key: int,
        attraction: Attraction | None = None,
    ) -> Plan:
        mean = first_guess(dynamics, self.horizon, guess)
        reach = (dynamics.high - dynamics.low) / 2
        deviations, least = np.tile(self.sigma * reach, (self.horizon, 1)), self.least_sigma * reach
        num_elites = max(2, round(self.elite_fraction * self.num_candidates))
        kept = mean[None]
        for iteration in range(self.num_iterations):
            candidates = self.candidates(dynamics, mean, deviations, key, iteration)
            candidates[: len(kept)] = kept
            returns = returns_of(dynamics, state, candidates, attraction)
            order = np.argsort(-np.where(np.isnan(returns), -np.inf, returns), kind="stable")
            elites = candidates[order[:num_elites]]
            mean, deviations = elites.mean(axis=0), np.maximum(elites.std(axis=0), least)
            kept = elites[: max(1, int(_KEPT * num_elites))]
        return Plan(mean, float(returns_of(dynamics, state, mean[None], attraction)[0]))
