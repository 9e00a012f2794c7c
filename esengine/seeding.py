"""Random numbers as functions of (seed, purpose, generation, member), the same on any rank.

A *key* is a 64-bit number derived from the seed, a purpose in words and a generation. The draws of
a key are numbered: draw ``i`` is ``mix(key + (i + 1) * GOLDEN)``, so any rank can compute any draw
without the ones before it.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel

_MASK = (1 << 64) - 1
# 2^64 / golden ratio: the increment of SplitMix64 (Steele, Lea, Flood 2014).
_GOLDEN = 0x9E3779B97F4A7C15


@lru_cache(maxsize=256)
def derive_key(seed: int, purpose: str, generation: int = 0) -> int:
    """The 64-bit key of a stream.

    Args:
        seed: the run's seed, any Python integer.
        purpose: what the numbers are for, for example ``"noise"``. Streams of different purposes
            are unrelated.
        generation: number of the generation, or 0 for a stream of the whole run.
    """
    text = f"{seed}/{purpose}/{generation}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def derive_seed(key: int, *counters: int) -> int:
    """The seed in [0, 2^63) for a library's generator that belongs to a key and counters such as
    (member, episode).
    """
    value = _mix(key)
    for counter in counters:
        value = _mix((value + (counter + 1) * _GOLDEN) & _MASK)
    return value >> 1


def generator(key: int, *counters: int) -> np.random.Generator:
    """The NumPy generator that belongs to a key and counters."""
    return np.random.Generator(np.random.Philox(key=derive_seed(key, *counters)))


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


@kernel(inline="always")
def mix64(value: np.uint64) -> np.uint64:
    """SplitMix64's finaliser: a bijection of 64-bit numbers with good avalanche."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel(inline="always")
def draw64(key: np.uint64, counter: np.uint64) -> np.uint64:
    """Draw number ``counter`` of a key, uniform on 64 bits."""
    return mix64(key + (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))


@kernel(inline="always")
def draw_unit(key: np.uint64, counter: np.uint64) -> float:
    """Draw number ``counter`` of a key, uniform on [0, 1) with 53 bits."""
    return (draw64(key, counter) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def derive_seeds(key: np.uint64, groups: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """Seeds in [0, 2^31) for user code, which may take no larger ones: the upper bits of
    ``derive_seed(key, group, i)`` for each group and each i below ``count``, (num_groups, count)
    uint64.
    """
    seeds = np.empty((groups.size, count), np.uint64)
    for j in range(groups.size):
        value = draw64(mix64(key), np.uint64(groups[j]))
        for i in range(count):
            seeds[j, i] = draw64(value, np.uint64(i)) >> np.uint64(33)
    return seeds


@kernel
def uniforms(key: np.uint64, counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """``draw_unit(key, counter)`` for each counter, (num_counters,) on [0, 1)."""
    draws = np.empty(counters.size)
    for i in range(counters.size):
        draws[i] = draw_unit(key, np.uint64(counters[i]))
    return draws


def normals(key: np.uint64, counters: NDArray[np.int64]) -> NDArray[np.float64]:
    """A standard normal number for each counter, (num_counters,), by Box and Muller."""
    radius = np.sqrt(-2 * np.log1p(-uniforms(key, 2 * counters)))
    return radius * np.cos(2 * np.pi * uniforms(key, 2 * counters + 1))
