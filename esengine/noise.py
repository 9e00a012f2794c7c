"""The noise table: standard normal float32 numbers that every member's perturbation is cut from, one copy a node.

A member's window starts at an address computed from (seed, generation, member) by a keyed bijection, so no two members of a
generation share a start and nothing but the member id has to travel. Starts are aligned to 64 bytes, and the table is
followed by a copy of its beginning, so that windows wrap around and every entry is used equally often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from esengine import kernels
from esengine.errors import UserError
from esengine.node_memory import NOISE, NodeMemory, check_room, map_array
from esengine.seeding import derive_key

_BLOCK = 1 << 16  # numbers a counter-based stream fills; a block is the unit that ranks divide among themselves
_MIN_LOG2 = 24  # 16 M numbers, 64 MB: 2^20 members a generation without a shared start
_MAX_DEFAULT_LOG2 = 28
_TABLE = "the noise table"


@dataclass(frozen=True)
class NoiseTable:
    """A mapped table.

    Attributes:
        table: (2^log2_size + wrap,) float32; the last ``wrap`` numbers repeat the first.
        log2_size: binary logarithm of the number of different entries.
    """

    table: NDArray[np.float32]
    log2_size: int

    @property
    def log2_slots(self) -> int:
        """Binary logarithm of the number of window starts, which is the largest population."""
        return self.log2_size - 4  # ALIGNMENT is 16

    def starts(self, seed: int, generation: int, members: NDArray[np.int64]) -> NDArray[np.int64]:
        """Window starts of members of a generation, (num_members,) int64."""
        key = np.uint64(derive_key(seed, "noise", generation))
        return kernels.window_starts(key, np.asarray(members, np.int64), self.log2_slots)

    def windows(self, starts: NDArray[np.int64], size: int) -> NDArray[np.float32]:
        """The windows themselves, (num_windows, size) float32, copied."""
        return (
            np.stack([self.table[start : start + size] for start in starts]) if len(starts) else np.empty((0, size), np.float32)
        )


def table_log2(requested: int | None, dimension: int, population_size: int) -> int:
    """Binary logarithm of the table's size: as requested, or large enough for the run.

    Raises:
        UserError: the size is no power of two, or too small for the parameters or the population.
    """
    least = max(4 * dimension, population_size * kernels.ALIGNMENT)
    if requested is None:
        log2 = min(max(_MIN_LOG2, int(np.ceil(np.log2(2 * least)))), _MAX_DEFAULT_LOG2)
    else:
        if requested < 1 << 10 or requested & (requested - 1):
            raise UserError(
                "--noise-table-size must be a power of two from 1024 on, "
                f"got {requested}; use {_next_power(max(requested, 1024))}"
            )
        log2 = requested.bit_length() - 1
    if 1 << log2 < least:
        raise UserError(
            f"--noise-table-size must be at least 4 x parameters and 16 x population = {least}, "
            f"got {1 << log2}; use {_next_power(least)}"
        )
    return log2


def create_table(
    seed: int, log2_size: int, dimension: int, memory: NodeMemory | None, part: int = 0, num_parts: int = 1
) -> NoiseTable:
    """Map the node's table and fill this rank's share of it; the same numbers whoever fills which block.

    Ranks of a node call it after their leader has reserved the file with `reserve`, and wait for each other afterwards.

    Args:
        seed: the run's seed.
        log2_size: see `table_log2`.
        dimension: the longest window.
        memory: the node's shared files, or None for a table private to this process.
        part: this rank's index among the node's ranks.
        num_parts: number of ranks that share the work.
    """
    size = 1 << log2_size
    total = size + wrap(dimension)
    if memory is None:
        table: NDArray[np.float32] = np.empty(total, np.float32)
    else:
        table = map_array(memory.find(NOISE), np.float32, total, writable=True)
    key = derive_key(seed, "noise-table")
    num_blocks = -(-total // _BLOCK)
    for block in range(part, num_blocks, num_parts):
        fill_block(table, key, block, size)
    return NoiseTable(table, log2_size)


def reserve(log2_size: int, dimension: int) -> NodeMemory:
    """Shared files for this node, with room reserved for its table.

    Raises:
        UserError: ``/dev/shm`` is too small; says by how much and which flag shrinks the table.
    """
    memory = NodeMemory()
    memory.allocate(NOISE, _table_bytes(log2_size, dimension), _TABLE, _shrinking_flag(log2_size))
    return memory


def check_table_room(log2_size: int, dimension: int) -> None:
    """Raises UserError as `reserve` would, before anything is started."""
    check_room(_TABLE, _table_bytes(log2_size, dimension), _shrinking_flag(log2_size))


def fill_block(table: NDArray[np.float32], key: int, block: int, size: int) -> None:
    """Fill one block; blocks past ``size`` repeat the table's beginning."""
    low, high = block * _BLOCK, min((block + 1) * _BLOCK, table.size)
    while low < high:  # a block of a small table may cross its end
        source = low % size
        stop = min(high, low + size - source)
        first, offset = source // _BLOCK, source % _BLOCK
        count = min(stop - low, _BLOCK - offset)
        stream = np.random.Generator(np.random.Philox(key=key, counter=[0, 0, 0, first]))
        table[low : low + count] = stream.standard_normal(_BLOCK, dtype=np.float32)[offset : offset + count]
        low += count


def wrap(dimension: int) -> int:
    """Length of the repeated beginning that lets the last window run past the end."""
    return -(-dimension // 1024) * 1024


def _table_bytes(log2_size: int, dimension: int) -> int:
    return 4 * ((1 << log2_size) + wrap(dimension))


def _shrinking_flag(log2_size: int) -> str:
    return f"--noise-table-size (now {1 << log2_size}, in numbers of 4 bytes)"


def _next_power(value: int) -> int:
    return 1 << (value - 1).bit_length()
