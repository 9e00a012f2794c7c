"""MPPI: model predictive path integral control (Williams, Aldrich, Theodorou 2017, J. Guidance,
Control, Dynamics 40(2)).

Candidates around the plan are weighted by the exponential of their return, and their weighted mean
is the next plan. We depart from the paper in two points. The temperature is measured in standard
deviations of the candidates' costs, so that the scale of the reward does not matter
(``relative_temperature=false`` is the paper's form). And the noise may be correlated in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.sampling import SamplingPlanner
from esengine.checks import not_negative, positive
from esengine.simulators.dynamics import Dynamics


@dataclass(frozen=True)
class MPPI(SamplingPlanner):
    """Plan by the mean of random candidates, weighted by the exponential of their return."""

    temperature: float = 0.1
    """Difference in return that divides a candidate's weight by e; a small value follows only the
    best candidate.
    """
    relative_temperature: bool = True
    """Measure the temperature in standard deviations of the candidates' returns."""
    control_cost: float = 0.0
    """Factor on the paper's control cost lambda u Sigma^-1 e, which pulls controls to the middle of
    their bounds; 1 is the paper's.
    """

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner."""
        super().check(dynamics)
        positive(self, "temperature")
        not_negative(self, "control_cost", way_out="0 leaves it out")

    def improved(
        self,
        dynamics: Dynamics,
        mean: NDArray[np.float64],
        deviations: NDArray[np.float64],
        candidates: NDArray[np.float64],
        returns: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        # The cost S_k of each candidate
        costs = -returns
        temperature = self.temperature * (spread(costs) if self.relative_temperature else 1.0)
        if self.control_cost > 0:
            drift = self._whitened((mean - (dynamics.low + dynamics.high) / 2) / deviations[0])
            noise = self._whitened((candidates - mean) / deviations[0])
            u_noise = (drift * noise).sum(axis=(1, 2))  # u Sigma^-1 e
            costs = costs + self.control_cost * temperature * u_noise

        # U + sum_k w_k e_k
        mean = np.tensordot(weights(costs, temperature), candidates, 1)
        return mean, deviations, mean[None]

    def _whitened(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the independent normals z of correlated noise, (..., horizon, num_controls)."""
        rho = self.noise_correlation
        rest = (noise[..., 1:, :] - rho * noise[..., :-1, :]) / np.sqrt(1 - rho**2)
        return np.concatenate([noise[..., :1, :], rest], axis=-2)


def weights(costs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Return w_k = exp(-(S_k - min S) / lambda) / sum, (num_candidates,).

    A constant added to all costs changes nothing. Candidates whose cost is not finite get weight
    zero. If all costs are equal, or none is finite, all candidates get the same weight.

    Args:
        costs: (num_candidates,) S.
        temperature: lambda.
    """
    usable = np.isfinite(costs)
    if not usable.any():
        return np.full(costs.size, 1 / costs.size)

    distance = np.where(usable, costs - costs[usable].min(), np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        powers = np.where(distance == 0, 1.0, np.exp(-distance / temperature))
    return powers / powers.sum()


def spread(costs: NDArray[np.float64]) -> float:
    """Return the standard deviation of the finite costs; 0 if there are none."""
    usable = costs[np.isfinite(costs)]
    return float(usable.std()) if usable.size else 0.0
