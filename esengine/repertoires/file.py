"""Archive files: all elites in one safetensors file, with the archive's shape in the header."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.policies.network_file import (
    Arrays,
    fields_from,
    is_count,
    is_file_of,
    is_list_of,
    read_network,
    require,
    write_network,
)
from esengine.policies.policy_file import described_policy, policy_from
from esengine.repertoires.repertoire import Repertoire

_KEY = "esengine-archive"
_MOST_CELLS = 1 << 24
_MOST_MEASURES = 100
_FIELDS = ("kind", "names", "ranges", "shape", "least_fitness")
_SCALING = ("observation_mean", "observation_inverse_std")


def save_archive(path: Path, archive: Repertoire) -> None:
    """Write an archive file, see `write_network`."""
    described: dict[str, Any] = {"archive": {name: getattr(archive, name) for name in _FIELDS}}
    arrays: dict[str, NDArray[Any]] = {
        name: getattr(archive, name)
        for name in ("cells", "fitness", "measures", "evaluations", "solutions")
    }
    if archive.centroids is not None:
        arrays["centroids"] = archive.centroids
    if archive.policy is not None:
        described["policy"] = described_policy(archive.policy)
        arrays |= {name: getattr(archive.policy, name) for name in _SCALING}
    write_network(path, _KEY, described, arrays)


def load_archive(path: str | Path) -> Repertoire:
    """Read an archive file, or the archive of a run directory. No code of the file is run.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    return read_network(path, "archive", _KEY, _archive_from, "an archive")


def holds_archive(path: str | Path) -> bool:
    """Whether a path is an archive file, or a run directory with one."""
    path = Path(path)
    if path.is_dir():
        return (path / "archive.safetensors").exists()
    return path.exists() and is_file_of(path, _KEY)


def _archive_from(described: dict[str, Any], arrays: Arrays) -> Repertoire:
    kind, names, ranges, shape, least = fields_from(described.get("archive"), *_FIELDS)
    require(kind in ("grid", "cvt"), "kind", kind)
    is_name = is_list_of(names, lambda name: isinstance(name, str) and 0 < len(name) < 1000)
    require(is_name and 0 < len(names) <= _MOST_MEASURES, "names", names)
    require(is_list_of(ranges, _is_range) and len(ranges) == len(names), "ranges", ranges)
    expected = len(names) if kind == "grid" else 1
    require(is_list_of(shape, is_count) and len(shape) == expected, "shape", shape)
    num_cells = math.prod(shape)
    require(num_cells <= _MOST_CELLS, "shape", shape)
    require(_is_finite(least), "least_fitness", least)

    has_policy = "policy" in described
    _check_arrays(arrays, kind == "cvt", has_policy, len(names), num_cells)
    policy = None
    if has_policy:
        first = {"parameters": arrays["solutions"][0], **{name: arrays[name] for name in _SCALING}}
        policy = policy_from(described["policy"], first)
    own = ("cells", "fitness", "measures", "evaluations", "solutions")
    elites: dict[str, Any] = {name: arrays[name] for name in own}
    return Repertoire(
        kind=kind,
        names=tuple(names),
        ranges=tuple((low, high) for low, high in ranges),
        shape=tuple(shape),
        least_fitness=float(least),
        centroids=arrays.get("centroids"),
        policy=policy,
        **elites,
    )


def _check_arrays(
    arrays: Arrays, has_centroids: bool, has_policy: bool, num_measures: int, num_cells: int
) -> None:
    """Raise a ValueError unless the arrays are of one archive of this shape."""
    names = {"cells", "fitness", "measures", "evaluations", "solutions"}
    names |= {"centroids"} if has_centroids else set()
    names |= set(_SCALING) if has_policy else set()
    if set(arrays) != names:
        raise ValueError(f"its arrays must be {sorted(names)}, got {sorted(arrays)!r:.200}")

    count = arrays["cells"].size
    wanted: dict[str, tuple[tuple[int, ...], type[Any]]] = {
        "cells": ((count,), np.int64),
        "fitness": ((count,), np.float64),
        "measures": ((count, num_measures), np.float64),
        "evaluations": ((count,), np.int64),
    }
    if has_centroids:
        wanted["centroids"] = ((num_cells, num_measures), np.float64)
    for name, (shape, dtype) in wanted.items():
        array = arrays[name]
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"{name} must be {np.dtype(dtype)} of shape {shape}, got {array.dtype} of shape "
                f"{array.shape}"
            )
    solutions = arrays["solutions"]
    precision = np.dtype(np.float32 if has_policy else np.float64)
    is_table = solutions.ndim == 2 and len(solutions) == count > 0
    if not is_table or solutions.dtype != precision:
        raise ValueError(
            f"solutions must be {precision}, one row for each of {count} elites, got "
            f"{solutions.dtype} of shape {solutions.shape}"
        )
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
    cells = arrays["cells"]
    if cells[0] < 0 or cells[-1] >= num_cells or (np.diff(cells) <= 0).any():
        raise ValueError(f"cells must be in ascending order, of {num_cells} cells")
    if (arrays["evaluations"] < 1).any():
        raise ValueError("evaluations must be at least 1")


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _is_range(value: Any) -> bool:
    return is_list_of(value, _is_finite) and len(value) == 2 and value[0] < value[1]
