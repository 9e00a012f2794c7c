"""Ranks, weights and utilities of members from their fitness; tied members get equal ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from esengine.seeding import derive_key, generator


def best_first(fitness: NDArray[np.float64], seed: int, generation: int) -> NDArray[np.int64]:
    """Return member ids from best to worst, (population_size,); ties are ordered by the seed."""
    draw = generator(derive_key(seed, "ties", generation)).permutation(fitness.size)
    return np.lexsort((draw, -fitness))


def centred_ranks(fitness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return utilities from 1/2 for the best to -1/2 for the worst member, (population_size,).

    Tied members get the mean of theirs. Ranks are summed as whole numbers, so that flat fitness
    gives exactly zero.
    """
    size = fitness.size
    ranks = by_rank(fitness, size - 1 - 2 * np.arange(size, dtype=np.float64))
    return ranks / max(1, 2 * (size - 1))


def pair_differences(utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights of the noise of antithetic pairs, (population_size,): u+ - u- for the first
    member of a pair and 0 for the second.

    The difference is computed in float64. Rounding the two utilities to float32 first would lose
    most of a small difference.
    """
    weights = np.zeros_like(utilities)
    weights[::2] = utilities[::2] - utilities[1::2]
    return weights


def pair_sums(utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights of the squared noise of antithetic pairs, (population_size,): u+ + u- for the
    first member of a pair and 0 for the second.
    """
    weights = np.zeros_like(utilities)
    weights[::2] = utilities[::2] + utilities[1::2]
    return weights


def is_flat(fitness: NDArray[np.float64]) -> bool:
    """Return whether all members have the same fitness, so that there is nothing to learn."""
    return bool((fitness == fitness[0]).all())


def by_rank(fitness: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of every member, (population_size,): ``weights[k]`` for rank k.

    Tied members get the average of their weights.

    Args:
        fitness: (population_size,), higher is better.
        weights: (population_size,) by rank, best first.
    """
    order = np.argsort(-fitness)  # ties in any order, since they share
    ranked = fitness[order]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]])  # of each group of ties

    shares = weights
    if not first.all():
        group = np.cumsum(first) - 1
        sizes = np.bincount(group)
        shares = np.where(sizes[group] > 1, (np.bincount(group, weights) / sizes)[group], weights)

    result = np.empty_like(shares)
    result[order] = shares
    return result


def recombination_weights(
    fitness: NDArray[np.float64],
    weights: NDArray[np.float64],
    rank: Callable[..., NDArray[np.float64]] = by_rank,
) -> NDArray[np.float64]:
    """Return the weight of every member in the new mean, (population_size,); their sum is 1.

    The weights above zero are assigned by rank. Failed members get none, even if fewer members than
    there are such weights succeeded.

    Args:
        fitness: (population_size,), higher is better, not all equal.
        weights: (population_size,) by rank, best first; those above zero sum to 1.
        rank: `by_rank` or `by_pair`.
    """
    shares = rank(fitness, np.maximum(weights, 0))
    failed = np.isneginf(fitness)
    if shares[failed].any():
        shares[failed] = 0
        shares /= shares.sum()
    return shares


def selection_mass(weights: NDArray[np.float64]) -> float:
    """Return mu_eff = 1 / sum w^2. Without selection, sum w z with z ~ N(0, I) is N(0, I / mu_eff).

    Ties increase mu_eff. A path that is normalised by the mu_eff of the ranks would shrink under
    ties, and sigma with it.
    """
    ordered = np.sort(np.abs(weights))[::-1]  # the sum must not depend on the members' order
    return 1 / float(np.sum(ordered**2))


def by_pair(fitness: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weight of every member of a mirrored population, (population_size,).

    The better members of all pairs share the better half of the weights. If both members of a pair
    moved the mean, their steps would cancel and the step size would shrink without reason (Auger,
    Brockhoff, Hansen 2011, doi 10.1145/2001576.2001695). Both members of a tied pair get the same
    weight.

    Args:
        fitness: (population_size,) of pairs 2k, 2k + 1, higher is better.
        weights: (population_size,) by rank, best first.
    """
    half = fitness.size // 2
    pairs = fitness.reshape(half, 2)
    better = by_rank(pairs.max(axis=1), weights[:half])
    worse = by_rank(pairs.min(axis=1), weights[half:])

    in_order = pairs[:, 0] >= pairs[:, 1]
    first = np.where(in_order, better, worse)
    result = np.stack([first, np.where(in_order, worse, better)], axis=1)

    tied = pairs[:, 0] == pairs[:, 1]
    result[tied] = ((better + worse) / 2)[tied, None]
    return result.ravel()
