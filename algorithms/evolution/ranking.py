"""From fitness to order and weights, with ties treated as ties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from esengine.seeding import derive_key, generator


def best_first(fitness: NDArray[np.float64], seed: int, generation: int) -> NDArray[np.int64]:
    """Member ids from best to worst, (population_size,); members of equal fitness in an order drawn
    by seed.
    """
    draw = generator(derive_key(seed, "ties", generation)).permutation(fitness.size)
    return np.lexsort((draw, -fitness))


def centred_ranks(fitness: NDArray[np.float64]) -> NDArray[np.float64]:
    """Utilities from 1/2 for the best to -1/2 for the worst, (population_size,); tied members get
    their mean.

    The ranks are added up as whole numbers, so that flat fitness gives exactly zero.
    """
    size = fitness.size
    return by_rank(fitness, size - 1 - 2 * np.arange(size, dtype=np.float64)) / max(
        1, 2 * (size - 1)
    )


def pair_differences(utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights with the same sum over a population of pairs, (population_size,): u+ - u- for the
    first of a pair, else 0.

    The difference is taken here in float64, since rounding the two apart to float32 first would
    lose most of a small one.
    """
    weights = np.zeros_like(utilities)
    weights[::2] = utilities[::2] - utilities[1::2]
    return weights


def pair_sums(utilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """As `pair_differences` for sums of squared noise, in which the two of a pair are equal: u+ +
    u-.
    """
    weights = np.zeros_like(utilities)
    weights[::2] = utilities[::2] + utilities[1::2]
    return weights


def is_flat(fitness: NDArray[np.float64]) -> bool:
    """Whether all members are equal, so that there is nothing to learn from them."""
    return bool((fitness == fitness[0]).all())


def by_rank(fitness: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The weight of every member: ``weights[k]`` for the one of rank k, the average of their
    weights for tied ones.

    Args:
        fitness: (population_size,), higher is better.
        weights: (population_size,) by rank, best first.
    """
    order = np.argsort(-fitness)  # tied members may come in any order, since they share
    ranked = fitness[order]
    first = np.concatenate([[True], ranked[1:] != ranked[:-1]])
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
    """The weight of every member in the new mean: those of ``weights`` above zero by rank; they add
    up to 1.

    Members that failed have none, even where less than half have not.

    Args:
        fitness: (population_size,), higher is better, not all equal.
        weights: (population_size,) by rank, best first; those above zero add up to 1.
        rank: `by_rank` or `by_pair`.
    """
    shares = rank(fitness, np.maximum(weights, 0))
    failed = np.isneginf(fitness)
    if shares[failed].any():
        shares[failed] = 0
        shares /= shares.sum()
    return shares


def selection_mass(weights: NDArray[np.float64]) -> float:
    """1 / sum w^2: if nothing is selected for, sum w z of standard normal vectors z is N(0, I /
    mass).

    Ties make it larger than it is by rank. A path of such sums that is normalised without them
    shrinks, and sigma with it.
    """
    return 1 / float(
        np.sum(np.sort(np.abs(weights))[::-1] ** 2)
    )  # in one order, however the members are


def by_pair(fitness: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of members that mirror each other in pairs: the better of each pair share the better
    half of the weights.

    If both of a pair counted for the mean their steps would cancel and the step size would shrink
    for no reason (Auger, Brockhoff, Hansen 2011, doi 10.1145/2001576.2001695). The two of a tied
    pair get the same weight.

    Args:
        fitness: (population_size,) of pairs 2k, 2k + 1, higher is better.
        weights: (population_size,) by rank, best first.
    """
    half = fitness.size // 2
    pairs = fitness.reshape(half, 2)
    better = by_rank(pairs.max(axis=1), weights[:half])
    worse = by_rank(pairs.min(axis=1), weights[half:])
    first = np.where(pairs[:, 0] >= pairs[:, 1], better, worse)
    second = np.where(pairs[:, 0] >= pairs[:, 1], worse, better)
    tied = pairs[:, 0] == pairs[:, 1]
    result = np.stack([first, second], axis=1)
    result[tied] = ((better + worse) / 2)[tied, None]
    return result.ravel()
