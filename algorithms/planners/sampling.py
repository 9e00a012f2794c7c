"""What sampling planners share: the loop over iterations, and the candidates of one iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.planners.contract import Attraction, Plan, first_guess, returns_of
from esengine.checks import at_least, positive, within
from esengine.compiled import kernel
from esengine.noise.streams import fill_normals, fill_normals_reference
from esengine.seeding import derive_seed
from esengine.simulators.dynamics import Dynamics


@dataclass(frozen=True)
class SamplingPlanner:
    """Base class of planners that draw candidates around a plan and improve it by their returns."""

    set_by: ClassVar[str] = "--planner-arg"

    horizon: int = 30
    """Number of steps that a plan looks ahead."""
    num_candidates: int = 128
    """Number of control sequences per iteration."""
    num_iterations: int = 2
    """Number of iterations before the first control is applied."""
    sigma: float = 0.5
    """Initial standard deviation of the controls, relative to half their range."""
    noise_correlation: float = 0.5
    """Correlation of the noise of consecutive steps."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner."""
        at_least(self, 1, "horizon", "num_candidates", "num_iterations")
        positive(self, "sigma")
        within(self, 0, 1, "noise_correlation", ends="[)", way_out="0 draws every step anew")

    def plan(
        self,
        dynamics: Dynamics,
        state: NDArray[np.float64],
        guess: NDArray[np.float64] | None,
        key: int,
        attraction: Attraction | None = None,
    ) -> Plan:
        mean = first_guess(dynamics, self.horizon, guess)
        deviations = np.tile(self.sigma * (dynamics.high - dynamics.low) / 2, (self.horizon, 1))
        kept = mean[None]  # without noise, so that the plan competes with its own changes

        for iteration in range(self.num_iterations):
            candidates = draw_candidates(
                np.uint64(derive_seed(key, iteration)),
                self.num_candidates,
                mean,
                deviations,
                self.noise_correlation,
                dynamics.low,
                dynamics.high,
            )
            candidates[: len(kept)] = kept
            returns = returns_of(dynamics, state, candidates, attraction)
            mean, deviations, kept = self.improved(dynamics, mean, deviations, candidates, returns)

        mean = np.clip(mean, dynamics.low, dynamics.high)
        return Plan(mean, float(returns_of(dynamics, state, mean[None], attraction)[0]))

    def improved(
        self,
        dynamics: Dynamics,
        mean: NDArray[np.float64],
        deviations: NDArray[np.float64],
        candidates: NDArray[np.float64],
        returns: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean and deviations of the next iteration, and candidates to try again in it.

        Args:
            dynamics: what the controls do.
            mean: (horizon, num_controls) around which the candidates were drawn.
            deviations: (horizon, num_controls) with which they were drawn.
            candidates: (num_candidates, horizon, num_controls).
            returns: (num_candidates,), not finite where the simulator failed.

        Returns:
            (horizon, num_controls), (horizon, num_controls) and (num_kept, horizon, num_controls).
        """
        raise NotImplementedError


@kernel
def draw_candidates(
    key: np.uint64,
    num_candidates: int,
    mean: NDArray[np.float64],
    deviations: NDArray[np.float64],
    correlation: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return candidates (num_candidates, horizon, num_controls) float64.

    Each candidate depends only on the key and its number. The noise of a control is
    e_t = rho e_(t-1) + sqrt(1 - rho^2) z_t with z ~ N(0, 1); its variance is 1 at every step.

    Args:
        key: the key of the noise.
        num_candidates: the number of candidates.
        mean: (horizon, num_controls).
        deviations: (horizon, num_controls) factors on the noise.
        correlation: rho.
        low, high: (num_controls,) bounds of the controls, which are clipped to them.
    """
    horizon, dim = mean.shape
    drawn = np.empty(num_candidates * horizon * dim, np.float32)
    fill_normals(key, 0, drawn)

    out = np.empty((num_candidates, horizon, dim))
    rest = np.sqrt(1.0 - correlation * correlation)
    noise = np.empty(dim)
    for i in range(num_candidates):
        for t in range(horizon):
            for k in range(dim):
                z = np.float64(drawn[(i * horizon + t) * dim + k])
                noise[k] = z if t == 0 else correlation * noise[k] + rest * z
                out[i, t, k] = min(max(mean[t, k] + deviations[t, k] * noise[k], low[k]), high[k])
    return out


def draw_candidates_reference(
    key: np.uint64,
    num_candidates: int,
    mean: NDArray[np.float64],
    deviations: NDArray[np.float64],
    correlation: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> NDArray[np.float64]:
    """NumPy twin of `draw_candidates`."""
    drawn = np.empty(num_candidates * mean.size, np.float32)
    fill_normals_reference(key, 0, drawn)
    noise = drawn.reshape(num_candidates, *mean.shape).astype(np.float64)
    for t in range(1, len(mean)):
        noise[:, t] = correlation * noise[:, t - 1] + np.sqrt(1 - correlation**2) * noise[:, t]
    return np.clip(mean + deviations * noise, low, high)
