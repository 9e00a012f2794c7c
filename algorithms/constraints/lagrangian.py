"""Constraints by an adaptive augmented Lagrangian, between the pool and any strategy.

Atamna, Auger, Hansen 2017 (https://hal.inria.fr/hal-01455379); Dufosse, Hansen 2020 (doi
10.1145/3449639.3459386). The paper changes a penalty factor by comparing steps of the Lagrangian;
here, as in later versions of the ``cma`` package, it grows while the mean is infeasible and falls
while the mean is feasible. Ours: it doubles while the whole population violates a constraint.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State

Floats = NDArray[np.float64]

_DAMPING = 5.0  # d_gamma of the multipliers
_FEW = 0.1  # a constraint is scaled by populations with more than this share on either side
_MOSTLY = 0.95  # a share of feasible means above it says that the penalty reaches too far
_OFTEN = 0.9  # one above it keeps the penalty factor


def violations(constraints: Floats) -> Floats:
    """The sum of squared violations of each member, (num_members,), of (num_members,
    num_constraints).
    """
    return np.asarray(np.sum(np.maximum(constraints, 0.0) ** 2, axis=1))


def penalties(constraints: Floats, multipliers: Floats, factors: Floats) -> Floats:
    """sum_j of l_j g_j + m_j g_j^2 / 2 where g_j > -l_j / m_j, else of -l_j^2 / (2 m_j), for each
    member, (num_members,).

    Args:
        constraints: g, (num_members, num_constraints), met at 0 and below.
        multipliers: l, (num_constraints,).
        factors: m, (num_constraints,); a constraint with 0 has no penalty.
    """
    active = factors > 0
    reach = np.zeros_like(factors)
    reach[active] = -multipliers[active] / factors[active]
    g = np.where(active, np.maximum(constraints, reach), 0.0)
    return np.asarray(np.sum(multipliers * g + factors / 2 * g**2, axis=1))


class AugmentedLagrangian:
    """The multipliers and penalty factors of the constraints, adapted in every generation.

    Args:
        dimension: n, the parameters of the search.
        num_constraints: of the problem.

    Attributes:
        multipliers: l, (num_constraints,).
        factors: m, (num_constraints,), 0 until a constraint has met the population.
        has_feasible: whether a feasible point was ever evaluated.
    """

    def __init__(self, dimension: int, num_constraints: int) -> None:
        self.dimension = dimension
        self.multipliers = np.zeros(num_constraints)
        self.factors = np.zeros(num_constraints)
        self.has_feasible = False
        self._is_scaled = np.zeros(num_constraints, bool)
        self._num_updates = 0
        self._same_changes = np.zeros(num_constraints)  # of m in a row; negative where it falls
        self._was_feasible = np.full((5 + dimension, num_constraints), np.nan)  # g < 0 at the mean
        self._shown: dict[str, float] = {}

    def fitness(
        self, fitness: Floats, constraints: Floats, own: float, own_constraints: Floats
    ) -> Floats:
        """Return the fitness to tell the strategy, (population_size,), and adapt.

        Until a point was feasible, that is minus the sum of squared violations. A failed member
        keeps minus infinity.

        Args:
            fitness: (population_size,), minus infinity for members that failed.
            constraints: (population_size, num_constraints), met at 0 and below.
            own: the fitness of the mean.
            own_constraints: (num_constraints,) of the mean.
        """
        valid = np.isfinite(fitness) & np.isfinite(constraints).all(axis=1)
        meets = valid & (constraints <= 0).all(axis=1)
        is_known = bool(np.isfinite(own) and np.isfinite(own_constraints).all())
        self.has_feasible |= bool(meets.any() or (is_known and (own_constraints <= 0).all()))
        self._shown = {
            "feasible_share": float(meets.sum() / max(1, valid.sum())),
            "violation_min": float(violations(constraints[valid]).min(initial=np.inf)),
        }
        told = np.full(fitness.size, -np.inf)
        if not self.has_feasible:
            told[valid] = -violations(constraints[valid])
            return told

        self._scale(-fitness[valid], constraints[valid])
        if is_known:
            self._adapt(own_constraints, constraints[valid])
        told[valid] = fitness[valid] - penalties(constraints[valid], self.multipliers, self.factors)
        return told

    def _scale(self, costs: Floats, constraints: Floats) -> None:
        """First multipliers and factors of constraints that a part of the population violates, by
        the spread of costs f and constraints g: l = iqr(f) / (n iqr(g)), and m = 0.4 l.
        """
        infeasible = np.mean(constraints > 0, axis=0) if len(constraints) else np.zeros(0)
        spread = _iqr(costs[:, None])[0]
        for j in np.flatnonzero((~self._is_scaled) & (infeasible > _FEW)).tolist():
            width = _iqr(constraints[:, j : j + 1])[0]
            least = 1e-11 * (spread + 1)
            multiplier = spread / (self.dimension * width + least)
            factor = 0.4 * spread / self.dimension / (width + least)
            largest = np.max(np.abs(constraints[:, j]))
            factor = min(20 * factor, max(factor, multiplier / (largest + 1e-22)))
            if not self.factors[j] or (infeasible[j] > 0.6) == (factor > self.factors[j]):
                self.factors[j] = factor
            self.multipliers[j] = multiplier
            late = self._num_updates > 2 + self.dimension
            self._is_scaled[j] = late or infeasible[j] < 1 - _FEW

    def _adapt(self, g: Floats, constraints: Floats) -> None:
        """Move multipliers and factors by the constraints at the mean, g."""
        self._was_feasible = np.roll(self._was_feasible, -1, axis=0)
        self._was_feasible[-1] = (g < 0) + 0.5 * (g == 0)
        chi = 2 ** (1 / (5 * self.dimension))
        for j in np.flatnonzero(self.factors > 0).tolist():
            reach = -self.multipliers[j] / self.factors[j]
            is_inside = g[j] < reach
            if is_inside and not (constraints[:, j] > reach).any():
                continue

            # Multipliers
            self.multipliers[j] += self.factors[j] * g[j] / _DAMPING
            if self.multipliers[j] < 0:
                self.multipliers[j] = 0.0
                continue
            if self.factors[j] * g[j] < -self.multipliers[j]:
                continue

            # Penalty factors
            share = float(np.nanmean(self._was_feasible[:, j]))
            if g[j] > 0 and len(constraints) and (constraints[:, j] > 0).all():
                self.factors[j] *= 2.0
            elif g[j] > 0 or share > _MOSTLY:
                self.factors[j] *= chi ** self._exponent(j, 1)
            elif share < _OFTEN and g[j] < 0:
                self.factors[j] *= chi ** -self._exponent(j, -1)
        self._num_updates += 1

    def _exponent(self, j: int, change: int) -> float:
        """The exponent of a change, a quarter, more after many changes in the same direction."""
        if change * self._same_changes[j] < 0:
            self._same_changes[j] = 0
        self._same_changes[j] += change
        patience = 2 + self.factors.size
        more = np.clip(abs(self._same_changes[j]) - patience, 0, patience)
        return float(0.25 * (1 + 4 / patience * more))

    def metrics(self) -> dict[str, float]:
        """Numbers for the generation's row."""
        return self._shown

    def state(self) -> State:
        return {
            "coefficients": np.stack([self.multipliers, self.factors, self._same_changes]),
            "scaled": self._is_scaled.copy(),
            "means": self._was_feasible.copy(),
            "numbers": np.array([self.has_feasible, self._num_updates], np.int64),
        }

    def restore(self, state: State) -> None:
        """Become the one that gave ``state``."""
        self.multipliers, self.factors, self._same_changes = np.array(state["coefficients"])
        self._is_scaled = np.array(state["scaled"])
        self._was_feasible = np.array(state["means"])
        self.has_feasible = bool(state["numbers"][0])
        self._num_updates = int(state["numbers"][1])


def _iqr(numbers: Floats) -> Floats:
    """The distance between the quartiles of each column."""
    low, high = np.quantile(numbers, [0.25, 0.75], axis=0)
    return np.asarray(high - low)
