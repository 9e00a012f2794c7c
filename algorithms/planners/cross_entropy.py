"""The cross-entropy method (Rubinstein and Kroese 2004).

Every iteration draws candidates from a Gaussian and fits the next Gaussian to the best of them, the
elites. A few elites are carried over to the next iteration (Pinneri et al. 2020, "iCEM").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.sampling import SamplingPlanner
from esengine.checks import at_least, positive, within
from esengine.simulators.dynamics import Dynamics

_KEPT = 0.3  # share of the elites that are carried over, as in iCEM


@dataclass(frozen=True)
class CrossEntropy(SamplingPlanner):
    """Plan by a Gaussian over controls, fitted to the best of its candidates in every iteration."""

    num_candidates: int = 64
    """Number of control sequences per iteration."""
    num_iterations: int = 4
    """Number of iterations before the first control is applied."""
    elite_fraction: float = 0.1
    """Fraction of the candidates that the Gaussian is fitted to, at least two."""
    least_sigma: float = 0.05
    """Smallest standard deviation of the controls, relative to half their range."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner."""
        super().check(dynamics)
        positive(self, "least_sigma")
        at_least(self, 2, "num_candidates")
        within(self, 0, 1, "elite_fraction", ends="(]")

    def improved(
        self,
        dynamics: Dynamics,
        mean: NDArray[np.float64],
        deviations: NDArray[np.float64],
        candidates: NDArray[np.float64],
        returns: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        # The elites; failed candidates come last
        num_elites = max(2, round(self.elite_fraction * self.num_candidates))
        order = np.argsort(-np.where(np.isnan(returns), -np.inf, returns), kind="stable")
        elites = candidates[order[:num_elites]]

        # The Gaussian of the elites
        least = self.least_sigma * ((dynamics.high - dynamics.low) / 2)
        deviations = np.maximum(elites.std(axis=0), least)
        return elites.mean(axis=0), deviations, elites[: max(1, int(_KEPT * num_elites))]
