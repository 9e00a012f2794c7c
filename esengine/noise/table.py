"""A table of standard normal float32 numbers, one copy per node.

A member's noise is a window of the table. It starts at an address computed from (seed, generation,
member) by a keyed bijection, so no two members of a generation share a start, and only the member's
id has to travel. Starts are aligned to 64 bytes. The table is followed by a copy of its beginning,
so that windows wrap around and every entry is used equally often.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.noise import kernels, streams
from esengine.noise.contract import Noise
from esengine.ranks.node_memory import INDEX_ROWS, NOISE, NodeMemory, check_room, map_array
from esengine.seeding import derive_key

_BLOCK = 1 << 16  # numbers of the table that one rank fills at a time
_MIN_LOG2 = 24  # 16 M numbers, 64 MB: 2^20 members per generation without a shared start
_MAX_DEFAULT_LOG2 = 28
_LOG2_ALIGNMENT = kernels.ALIGNMENT.bit_length() - 1
_TABLE = "the noise table"


@dataclass(frozen=True)
class NoiseTable(Noise):
    """A mapped table.

    Attributes:
        table: (2^log2_size + wrap,) float32; the last ``wrap`` numbers repeat the first ones.
        log2_size: binary logarithm of the number of different entries.
    """

    table: NDArray[np.float32]
    log2_size: int

    @property
    def max_population_size(self) -> int:
        return 1 << (self.log2_size - _LOG2_ALIGNMENT)

    def starts(self, seed: int, generation: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
        key = np.uint64(derive_key(seed, "noise", generation))
        return kernels.window_starts(
            key, np.asarray(members, np.int64), self.log2_size - _LOG2_ALIGNMENT
        )

    def windows(
        self, starts: NDArray[np.int64], size: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        return self.table, starts


def table_log2(requested: int | None, dimension: int, population_size: int) -> int | None:
    """The binary logarithm of the table's size: as requested, or large enough for the run.

    Returns:
        None if noise is computed: on request (0), or if a table of 2^28 numbers is too small.

    Raises:
        UserError: the size is no power of two, or too small for the parameters or the population.
    """
    least = max(4 * dimension, population_size * kernels.ALIGNMENT)
    if requested == 0 or (requested is None and least > 1 << _MAX_DEFAULT_LOG2):
        return None
    if requested is None:
        return min(max(_MIN_LOG2, (2 * least - 1).bit_length()), _MAX_DEFAULT_LOG2)
    if requested < 1 << 10 or requested & (requested - 1):
        raise UserError(
            "--noise-table-size must be a power of two from 1024 on, or 0 for computed noise, "
            f"got {requested}; use {_next_power(max(requested, 1024))}"
        )
    if requested < least:
        raise UserError(
            f"--noise-table-size must be at least 4 x parameters and 16 x population = {least}, "
            f"got {requested}; use {_next_power(least)}, or 0 for computed noise"
        )

    return requested.bit_length() - 1


def create_table(
    seed: int,
    log2_size: int,
    dimension: int,
    memory: NodeMemory | None,
    part: int = 0,
    num_parts: int = 1,
    key: int = NOISE,
) -> NoiseTable:
    """Map the node's table and fill this rank's share of it.

    The numbers do not depend on which rank fills which block. The ranks of a node call this after
    their leader has reserved the file with `reserve`, and wait for each other afterwards.

    Args:
        seed: the run's seed.
        log2_size: see `table_log2`.
        dimension: length of the longest window.
        memory: the node's shared files, or None for a table of this process alone.
        part: index of this rank among the ranks that share the work.
        num_parts: number of these ranks.
        key: of the table's file.
    """
    size = 1 << log2_size
    total = size + wrap(dimension)
    if memory is None:
        table = _aligned(total)
    else:
        table = map_array(memory.find(key), np.float32, total, writable=True)

    stream = np.uint64(derive_key(seed, "noise-table"))
    num_blocks = -(-total // _BLOCK)

    for block in range(part, num_blocks, num_parts):
        low = block * _BLOCK
        high = min((block + 1) * _BLOCK, total)
        while low < high:  # the numbers after ``size`` repeat those from the beginning
            source = low % size
            count = min(high - low, size - source)
            streams.fill_normals(stream, source, table[low : low + count])
            low += count

    return NoiseTable(table, log2_size)


@dataclass(frozen=True)
class TableNeed:
    """What a run needs of its noise table.

    Attributes:
        seed: of the table.
        log2_size: see `table_log2`; None computes noise.
        dimension: length of the longest window.
    """

    seed: int
    log2_size: int | None
    dimension: int


def shared_tables(needs: Sequence[TableNeed]) -> list[TableNeed]:
    """The tables that some runs need together: those of one seed and size share one."""
    found: dict[tuple[int, int], int] = {}
    for need in needs:
        if need.log2_size is not None:
            name = need.seed, need.log2_size
            found[name] = max(found.get(name, 0), need.dimension)
    return [TableNeed(*name, dimension) for name, dimension in found.items()]


def reserve(needs: Sequence[TableNeed], num_rows: int = INDEX_ROWS) -> NodeMemory:
    """The shared files of this node, with room reserved for its tables.

    Args:
        needs: of each run; table k of their `shared_tables` has the key ``NOISE - k``.
        num_rows: see `NodeMemory`.

    Raises:
        UserError: ``/dev/shm`` is too small. The message names the flag that shrinks the table.
    """
    memory = NodeMemory(num_rows=num_rows)
    for place, (num_bytes, flag) in enumerate(map(_size_of, shared_tables(needs))):
        memory.allocate(NOISE - place, num_bytes, _TABLE, flag)
    return memory


def check_table_room(needs: Sequence[TableNeed]) -> None:
    """Raise a UserError if `reserve` would, before anything is started."""
    sizes = [_size_of(table) for table in shared_tables(needs)]
    if sizes:
        what = _TABLE if len(sizes) == 1 else f"the noise tables of {len(sizes)} seeds"
        check_room(what, sum(num_bytes for num_bytes, _ in sizes), sizes[0][1])


def _size_of(table: TableNeed) -> tuple[int, str]:
    """The bytes of a table, and the flag that shrinks it."""
    assert table.log2_size is not None
    size = 1 << table.log2_size
    flag = f"--noise-table-size (now {size}, in numbers of 4 bytes; 0 computes noise instead)"
    return 4 * (size + wrap(table.dimension)), flag


def _aligned(size: int) -> NDArray[np.float32]:
    """An uninitialised array on a 64-byte boundary, like a mapped table."""
    memory: NDArray[np.float32] = np.empty(size + kernels.ALIGNMENT, np.float32)
    first = -memory.__array_interface__["data"][0] // memory.itemsize % kernels.ALIGNMENT
    return memory[first : first + size]


def wrap(dimension: int) -> int:
    """The length of the repeated beginning, which lets the last window run past the end."""
    return -(-dimension // 1024) * 1024


def _next_power(value: int) -> int:
    return 1 << (value - 1).bit_length()
