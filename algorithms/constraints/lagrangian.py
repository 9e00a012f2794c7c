"""Constraints by an adaptive augmented Lagrangian, between the pool and any strategy.

Atamna, Auger, Hansen 2017 (https://hal.inria.fr/hal-01455379); Dufosse, Hansen 2020 (doi
10.1145/3449639.3459386). The paper changes a penalty factor by comparing steps of the Lagrangian;
here, as in later versions of the ``cma`` package, it grows while the mean is infeasible and falls
while the mean is feasible. Ours: it doubles while the whole population violates a constraint, and a
search that ended outside of the feasible set is not repeated with the penalties that let it out.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from esengine.algorithms.strategy import State

Floats = NDArray[np.float64]

_DAMPING = 5.0  # d_gamma of the multipliers
_FEW = 0.1  # a constraint is scaled by populations with more than this share on either side
_MOSTLY = 0.95  # a share of feasible means above it says that the penalty reaches too far
_OFTEN = 0.9  # one above it keeps the penalty factor
_GAIN = 0.1  # the least gain outside of the feasible set, as a share of the spread of costs
_FURTHER = 4.0  # times the factor with which a search ended outside of the feasible set


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
        best: the fitness of the best feasible point that was ever evaluated; minus infinity before
            there is one.
        least_factor: that no factor falls below.
    """

    def __init__(self, dimension: int, num_constraints: int) -> None:
        self.dimension = dimension
        self.best = -math.inf
        self.least_factor = 0.0
        self._outside = 0.0  # the factor that makes the last mean as bad as the best point
        self._begin(num_constraints)

    def _begin(self, num_constraints: int) -> None:
        """Begin the adaptation."""
        self.multipliers = np.zeros(num_constraints)
        self.factors = np.zeros(num_constraints)
        self._spread = 0.0  # the largest of the costs in a generation
        self._is_scaled = np.zeros(num_constraints, bool)
        self._num_updates = 0
        self._same_changes = np.zeros(num_constraints)  # of m in a row; negative where it falls
        history = (5 + self.dimension, num_constraints)
        self._was_feasible = np.full(history, np.nan)  # g < 0 at the mean
        self._shown: dict[str, float] = {}

    @property
    def has_feasible(self) -> bool:
        """Whether a feasible point was ever evaluated."""
        return self.best > -math.inf

    def begin_search(self) -> None:
        """Begin anew with a new search. If the last one ended at a mean that violates constraints
        and was told to be better than the best feasible point, factors become so large that it
        would not be.
        """
        self.least_factor = max(self.least_factor, _FURTHER * self._outside)
        self._outside = 0.0
        self._begin(self.factors.size)

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
        feasible = fitness[meets].tolist()
        if is_known and (own_constraints <= 0).all():
            feasible.append(own)
        self.best = max([self.best, *feasible])
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
            self._look_outside(own, own_constraints)
        told[valid] = fitness[valid] - penalties(constraints[valid], self.multipliers, self.factors)
        return told

    def _look_outside(self, own: float, own_constraints: Floats) -> None:
        """Note the factor m with which a mean outside of the feasible set would be as bad as the
        best feasible point: m times its squared violations / 2 is what it is better by. What it
        gains by a rounded corner, at the end of a good search, does not count.
        """
        gain = own - self.best
        violation = float(violations(own_constraints[None])[0])
        is_outside = violation > 0 and gain > _GAIN * self._spread
        self._outside = 2 * gain / violation if is_outside else 0.0

    def _scale(self, costs: Floats, constraints: Floats) -> None:
        """First multipliers and factors of constraints that a part of the population violates, by
        the spread of costs f and constraints g: l = iqr(f) / (n iqr(g)), and m = 0.4 l.
        """
        infeasible = np.mean(constraints > 0, axis=0) if len(constraints) else np.zeros(0)
        spread = float(_iqr(costs[:, None])[0]) if costs.size else 0.0
        self._spread = max(self._spread, spread)
        for j in np.flatnonzero((~self._is_scaled) & (infeasible > _FEW)).tolist():
            width = _iqr(constraints[:, j : j + 1])[0]
            least = 1e-11 * (spread + 1)
            multiplier = spread / (self.dimension * width + least)
            factor = 0.4 * spread / self.dimension / (width + least)
            largest = np.max(np.abs(constraints[:, j]))
            factor = min(20 * factor, max(factor, multiplier / (largest + 1e-22)))
            factor = max(factor, self.least_factor)
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
                factor = self.factors[j] * chi ** -self._exponent(j, -1)
                self.factors[j] = max(factor, self.least_factor)
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
            "numbers": np.array(
                [self._num_updates, self._spread, self._outside, self.best, self.least_factor]
            ),
        }

    def restore(self, state: State) -> None:
        """Become the one that gave ``state``."""
        self.multipliers, self.factors, self._same_changes = np.array(state["coefficients"])
        self._is_scaled = np.array(state["scaled"])
        self._was_feasible = np.array(state["means"])
        num_updates, self._spread, self._outside, *known = state["numbers"].tolist()
        self._num_updates = int(num_updates)
        self.best, self.least_factor = known


def _iqr(numbers: Floats) -> Floats:
    """The distance between the quartiles of each column."""
    low, high = np.quantile(numbers, [0.25, 0.75], axis=0)
    return np.asarray(high - low)
