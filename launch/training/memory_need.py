"""The memory that a search needs, compared with what there is before anything is started."""

from __future__ import annotations

import math
import socket
from typing import Any

from esengine.algorithms.evolution.cma_coefficients import default_population_size
from esengine.algorithms.quality_diversity.settings import ArchiveSettings
from esengine.errors import UserError
from esengine.memory import free_bytes

_MATRICES = {"cma-es": 5, "pycma": 3}
"""Square matrices of float64 that a method holds at once, as measured at 1,000 and 1,600 parameters
without those that a checkpoint copies.
"""
_VECTORS = 6
_NUMBER = 8  # bytes
_GIGABYTE = 1 << 30


def needed_bytes(method: str, search: Any, dimension: int) -> int:
    """The bytes that the state of a method takes at least on the master.

    Args:
        method: its name.
        search: its settings.
        dimension: number of parameters.
    """
    vectors = float(_VECTORS)
    if method == "lm-ma-es":
        directions = search.directions or default_population_size(dimension)
        vectors += 3.5 * directions
    if isinstance(search, ArchiveSettings):
        vectors += math.prod(search.shape)
    return int(_NUMBER * dimension * (vectors + _MATRICES.get(method, 0) * dimension))


def check_memory(method: str, search: Any, dimension: int) -> None:
    """Raises UserError if this machine, or this job, has not the memory that a method needs."""
    needed, there = needed_bytes(method, search, dimension), free_bytes()
    if needed <= there:
        return
    others = "sep-cma-es or lm-ma-es" if method in _MATRICES else "fewer parameters"
    if isinstance(search, ArchiveSettings):
        others = "fewer --cells or parameters"
    raise UserError(
        f"{method} with {dimension:,} parameters needs at least {needed / _GIGABYTE:,.1f} GB of "
        f"memory, got {there / _GIGABYTE:,.1f} GB that are free on {socket.gethostname()}; use "
        f"{others}, or a machine or a job with more memory"
    )
