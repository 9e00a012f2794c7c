"""Chunks of consecutive members, the units of all work. Their bounds do not depend on the ranks."""

from __future__ import annotations


def chunk_size(population_size: int) -> int:
    """The members of a chunk, which depend on the population but not on the ranks.

    A chunk is a single member up to 32,767: chunks of two would leave workers idle in the last
    round. A chunk costs the master 5 microseconds, so larger populations are cut into 16,384 chunks
    or more.
    """
    return max(1, min(256, population_size // 16384))


def evaluation_chunk_size(population_size: int, members_together: int) -> int:
    """The members of a chunk of evaluation: ``members_together`` rounded up to a multiple of
    `chunk_size`.
    """
    size = chunk_size(population_size)
    return size * -(-members_together // size)


def chunks(stop: int, size: int, start: int = 0) -> list[tuple[int, int]]:
    """The bounds of consecutive chunks from ``start`` to ``stop``. The last may be smaller."""
    starts = range(start, stop, size)
    return list(zip(starts, [*starts[1:], stop], strict=False))
