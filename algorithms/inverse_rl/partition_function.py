"""The partition function of p(tau) ~ exp(R(tau)), estimated from sampled trajectories by importance
weights in log space.

Guided cost learning (Finn, Levine, Abbeel 2016, ICML, equations 3 to 5): the trajectories come from
known policies, and each is weighted by exp(R) over its density under the mixture of those policies.
The densities of the transitions cancel. With the same weights the mean gradient of R is the
gradient of log Z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_HALVINGS = 40  # of the interval that the power of tempered weights lies in


@dataclass(frozen=True)
class Partition:
    """An estimate of log Z from M trajectories.

    Attributes:
        log_weights: (M,) R(tau_j) - log q(tau_j).
        weights: (M,) normalised, with sum 1: expectations under p are means with these weights.
        log_z: log of the mean of exp(log_weights).
    """

    log_weights: Array
    weights: Array
    log_z: float

    @property
    def effective_sample_size(self) -> float:
        """The effective number of trajectories, 1 / sum w^2, between 1 and M (Kong 1992)."""
        return float(1 / np.sum(self.weights**2))

    def interval(
        self, generator: np.random.Generator, level: float = 0.95, num_resamples: int = 200
    ) -> tuple[float, float]:
        """Return the bootstrap interval of log Z: percentiles over resampled trajectories."""
        top = self.log_weights.max()
        scaled = np.exp(self.log_weights - top)
        rows = generator.integers(scaled.size, size=(num_resamples, scaled.size))
        values = top + np.log(np.maximum(scaled[rows].mean(1), np.finfo(float).tiny))
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    def tempered(self, least_share: float) -> tuple[Partition, float]:
        """Return the estimate with weights w^b, and b: the largest b in [0, 1] that keeps an
        effective share of the trajectories.

        With b = 1 the weights are exact. With b = 0 they are equal, which is exact for trajectories
        of the reward's own soft policy.

        Args:
            least_share: of the trajectories that were not left out, in [0, 1).
        """
        kept = np.isfinite(self.log_weights)
        least = least_share * np.count_nonzero(kept)

        def raised(power: float) -> Partition:
            return _partition(np.where(kept, power * self.log_weights, -np.inf))

        if self.effective_sample_size >= least:
            return self, 1.0
        low = 0.0
        high = 1.0
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if raised(middle).effective_sample_size >= least:
                low = middle
            else:
                high = middle
        return raised(low), low

    def most_promising(self, num_kept: int, returns: Array) -> tuple[Partition, float]:
        """Keep only the trajectories with the highest returns; the others get weight zero.

        Args:
            num_kept: number of trajectories to keep; ties are kept in their order.
            returns: (M,) R of each trajectory.

        Returns:
            the new estimate, and its bias, which is never positive: its log Z minus the full one.

        Raises:
            ValueError: ``num_kept`` is below 1 or above M.
        """
        if not 1 <= num_kept <= returns.size:
            raise ValueError(f"num_kept must lie between 1 and {returns.size}, got {num_kept}")
        kept = np.argsort(-returns, kind="stable")[:num_kept]
        log_weights = np.full_like(self.log_weights, -np.inf)
        log_weights[kept] = self.log_weights[kept]
        truncated = _partition(log_weights)
        return truncated, truncated.log_z - self.log_z


def estimate_partition(returns: Array, log_densities: Array) -> Partition:
    """Return the estimate of log Z from trajectories.

    Args:
        returns: (M,) R(tau_j).
        log_densities: (M,) log q(tau_j) of the actions under the mixture that the trajectories were
            drawn from, see `mixture_log_densities`.

    Raises:
        ValueError: there are no trajectories, shapes differ, or a value is not finite.
    """
    if returns.ndim != 1 or returns.size == 0 or returns.shape != log_densities.shape:
        raise ValueError(
            f"returns and log_densities must be (M,) with M >= 1, got {returns.shape} and "
            f"{log_densities.shape}"
        )
    if not (np.isfinite(returns).all() and np.isfinite(log_densities).all()):
        raise ValueError(
            "returns and log_densities must be finite: a deterministic policy has no density"
        )
    return _partition(returns - log_densities)


def mixture_log_densities(log_densities: Array, shares: Array | None = None) -> Array:
    """Return log densities of trajectories, (M,), under a mixture of policies (the fusion
    distribution).

    Args:
        log_densities: (K, M) log density of each trajectory under each policy.
        shares: (K,) share of each policy in the trajectories; default equal shares.
    """
    num_policies = log_densities.shape[0]
    shares = np.full(num_policies, 1 / num_policies) if shares is None else shares / shares.sum()
    terms = log_densities + np.log(np.maximum(shares, np.finfo(float).tiny))[:, None]
    top = terms.max(0)
    return top + np.log(np.exp(terms - top).sum(0))


def _partition(log_weights: Array) -> Partition:
    top = log_weights.max()
    scaled = np.exp(log_weights - top)
    return Partition(log_weights, scaled / scaled.sum(), float(top + np.log(scaled.mean())))
