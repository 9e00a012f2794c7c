"""MPPI: model predictive path integral control (Williams, Aldrich, Theodorou 2017, J. Guidance,
Control, Dynamics 40(2)).

Candidates around the plan are weighted by the exponential of their return, and the plan becomes
their mean. Two departures: the temperature is measured in standard deviations of the candidates'
costs, so that no reward has a scale of its own (``relative_temperature=false`` is the paper's), and
the noise may be correlated in time.
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
from esengine.checks import not_negative, positive
from esengine.simulators.dynamics import Dynamics


@dataclass(frozen=True)
class MPPI(SamplingPlanner):
    """Plan by the mean of random candidates, weighted by the exponential of their return."""

    temperature: float = 0.1
    """Difference of returns at which a candidate's weight falls by e; small trusts the best alone.
    """
    relative_temperature: bool = True
    """Measure the temperature in standard deviations of the candidates' returns."""
    control_cost: float = 0.0
    """Share of the paper's control cost lambda u Sigma^-1 e, which pulls to the middle of the
    bounds; 1 is the paper's.
    """

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner."""
        super().check(dynamics)
        positive(self, "temperature")
        not_negative(self, "control_cost", way_out="0 leaves it out")

    def plan(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        key: int,
        attraction: Attraction | None = None,
    ) -> Plan:
        mean = first_guess(dynamics, self.horizon, guess)
        middle, reach = (dynamics.low + dynamics.high) / 2, (dynamics.high - dynamics.low) / 2
        deviations = np.tile(self.sigma * reach, (self.horizon, 1))
        for iteration in range(self.num_iterations):
            candidates = self.candidates(dynamics, mean, deviations, key, iteration)
            candidates[0] = mean  # without noise, so that the plan competes with its own changes
            costs = -returns_of(dynamics, state, candidates, attraction)
            temperature = self.temperature * (spread(costs) if self.relative_temperature else 1.0)
            if self.control_cost > 0:
                drift, noise = (
                    self._whitened(x / (self.sigma * reach))
                    for x in (mean - middle, candidates - mean)
                )
                costs = costs + self.control_cost * temperature * (drift * noise).sum(
                    axis=(1, 2)
                )  # lambda u Sigma^-1 e
            mean = np.tensordot(weights(costs, temperature), candidates, 1)  # U + sum_k w_k e_k
        mean = np.clip(mean, dynamics.low, dynamics.high)
        return Plan(mean, float(returns_of(dynamics, state, mean[None], attraction)[0]))

    def _whitened(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        """The independent numbers z that correlated noise (..., horizon, num_controls) was made
        of.
        """
        rho = self.noise_correlation
        rest = (noise[..., 1:, :] - rho * noise[..., :-1, :]) / np.sqrt(1 - rho**2)
        return np.concatenate([noise[..., :1, :], rest], axis=-2)


def weights(costs: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """w_k = exp(-(S_k - min S) / lambda) / sum, (num_candidates,); the same for costs with any
    offset.

    Candidates whose cost is not finite get none; if all are alike, or none is finite, all get the
    same.
    """
    usable = np.isfinite(costs)
    if not usable.any():
        return np.full(costs.size, 1 / costs.size)
    least = costs[usable].min()
    distance = np.where(usable, costs - least, np.inf)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        powers = np.where(distance == 0, 1.0, np.exp(-distance / temperature))
    normalized: NDArray[np.float64] = powers / powers.sum()
    return normalized


def spread(costs: NDArray[np.float64]) -> float:
    """Standard deviation of the costs that are finite."""
    usable = costs[np.isfinite(costs)]
    return float(usable.std()) if usable.size else 0.0
