"""Candidate control sequences: a mean and noise that is correlated in time, kept within the
bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from esengine.checks import at_least, positive, within
from esengine.compiled import kernel
from esengine.noise.streams import fill_normals, fill_normals_reference
from esengine.seeding import derive_seed
from esengine.simulators.dynamics import Dynamics


@dataclass(frozen=True)
class SamplingPlanner:
    """What planners have in common that draw candidates about a plan and improve it by what those
    gain.
    """

    set_by: ClassVar[str] = "--planner-arg"

    horizon: int = 30
    """Steps that a plan looks ahead."""
    num_candidates: int = 128
    """Control sequences that an iteration tries."""
    num_iterations: int = 2
    """Times that a plan is improved before its first control is applied."""
    sigma: float = 0.5
    """Standard deviation of the controls to begin with, in halves of their range."""
    noise_correlation: float = 0.5
    """Correlation of the noise of neighbouring steps."""

    def check(self, dynamics: Dynamics | None = None) -> None:
        """Raises UserError for settings that define no planner."""
        at_least(self, 1, "horizon", "num_candidates", "num_iterations")
        positive(self, "sigma")
        within(self, 0, 1, "noise_correlation", ends="[)", way_out="0 draws every step anew")

    def candidates(
        self,
        dynamics: Dynamics,
        mean: NDArray[np.float64],
        deviations: NDArray[np.float64],
        key: int,
        iteration: int,
    ) -> NDArray[np.float64]:
        """An iteration's candidates within the bounds, (num_candidates, horizon, num_controls), see
        `draw_candidates`.
        """
        own_key, bounds = np.uint64(derive_seed(key, iteration)), (dynamics.low, dynamics.high)
        drawn: NDArray[np.float64] = draw_candidates(
            own_key, self.num_candidates, mean, deviations, self.noise_correlation, *bounds
        )
        return drawn


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
    """Candidates (num_candidates, horizon, num_controls) float64; each depends on the key and its
    number alone.

    The noise of a control is e_t = rho e_(t-1) + sqrt(1 - rho^2) z_t with z ~ N(0, 1), of variance
    1 at every step.

    Args:
        key: of the noise.
        num_candidates: how many.
        mean: (horizon, num_controls).
        deviations: (horizon, num_controls) that noise is multiplied by.
        correlation: rho, of neighbouring steps.
        low, high: (num_controls,) bounds that controls are clipped to.
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
