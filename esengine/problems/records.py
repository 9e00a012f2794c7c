"""The fixed-size record that comes back for every member."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

OK, FAILED = 0, 1

MEMBER = np.dtype(
    [
        ("member", "<i8"),
        ("fitness", "<f8"),
        ("steps", "<i8"),
        ("episodes", "<i4"),
        ("status", "<i4"),
    ]
)
"""A member's record. ``fitness`` is the statistic of the returns of its episodes."""


def new_records(first: int, count: int) -> NDArray[Any]:
    """Records of ``count`` members from ``first`` on, all else 0."""
    records = np.zeros(count, MEMBER)
    records["member"] = np.arange(first, first + count)
    return records


def failed_records(start: int, stop: int) -> NDArray[Any]:
    """Records of members of which nothing is known except that they failed."""
    records = new_records(start, stop - start)
    records["status"] = FAILED
    records["fitness"] = np.nan
    return records
