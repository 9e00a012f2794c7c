"""The addresses of the members' noise, and the rows of their parents."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from esengine.compiled import kernel
from esengine.seeding import draw64

ALIGNMENT = 16
"""Numbers between starts: windows begin on 64-byte boundaries, since other loads are split."""


@kernel
def window_starts(key: np.uint64, members: NDArray[np.int64], log2_slots: int) -> NDArray[np.int64]:
    """The starts of the members' noise windows in the table.

    The map from member to slot is a bijection keyed by (seed, generation), so no two members of a
    generation share a start.

    Args:
        key: the generation's noise key.
        members: (num_members,) int64 ids, each below 2^log2_slots.
        log2_slots: the table holds 2^log2_slots aligned starts.

    Returns:
        (num_members,) int64 offsets into the table, multiples of `ALIGNMENT`.
    """
    mask = (np.uint64(1) << np.uint64(log2_slots)) - np.uint64(1)
    shift = np.uint64(log2_slots // 2 + 1)
    starts = np.empty(members.size, np.int64)

    for i in range(members.size):
        slot = (np.uint64(members[i]) + draw64(key, np.uint64(0))) & mask

        # Xor-shift and odd multiplication are both bijections modulo a power of two.
        for turn in range(1, 4):
            slot = (slot ^ (slot >> shift)) & mask
            slot = (slot * (draw64(key, np.uint64(turn)) | np.uint64(1))) & mask

        starts[i] = np.int64(slot ^ (slot >> shift)) * ALIGNMENT

    return starts


@kernel
def parent_indices(
    key: np.uint64, members: NDArray[np.int64], num_unchanged: int, num_rows: int
) -> NDArray[np.int64]:
    """The row that each member comes from, (num_members,) int64.

    A member below ``num_unchanged`` comes from the row with its own number. The others draw one of
    the remaining rows uniformly.
    """
    rows = np.empty(members.size, np.int64)
    num_parents = np.uint64(num_rows - num_unchanged)

    for i in range(members.size):
        high = draw64(key, np.uint64(members[i])) >> np.uint64(32)
        parent = np.int64((high * num_parents) >> np.uint64(32))  # no bias, unlike a modulo
        rows[i] = members[i] if members[i] < num_unchanged else num_unchanged + parent

    return rows
