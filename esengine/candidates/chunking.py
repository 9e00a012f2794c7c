"""The unit of all work: runs of consecutive members whose bounds depend on the population alone,
never on the ranks.
"""

from __future__ import annotations


def chunk_size(population_size: int) -> int:
    """Members of a chunk, a function of the population alone, never of the ranks.

    Single members while the population is small, so that thousands of ranks stay busy; growing with
    the population, so that the number of messages stays bounded.
    """
    return max(1, min(256, population_size // 16384))


def evaluation_chunk_size(population_size: int, members_together: int) -> int:
    """Members of a chunk of evaluation: ``members_together``, rounded up to whole chunks of
    `chunk_size`.
    """
    size = chunk_size(population_size)
    return size * -(-members_together // size)


def chunks(stop: int, size: int, start: int = 0) -> list[tuple[int, int]]:
    """Bounds of consecutive chunks from ``start`` to ``stop``; the last may be short."""
    starts = range(start, stop, size)
    return list(zip(starts, [*starts[1:], stop], strict=False))
