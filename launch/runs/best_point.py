"""``best.json`` of a run: the best point with its value. Long vectors go to another file, since
numbers as text take minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from esengine.errors import UserError, listed
from esengine.storage.files import parse_arrays, read_safetensors, replacing, write_arrays

_VECTORS = ("point", "parameters")
_FILE = "best.safetensors"
_MOST_NUMBERS = 100_000  # that best.json holds as text


def best_record(folder: Path, best: Mapping[str, Any]) -> dict[str, Any]:
    """The content of ``best.json``. Long vectors are written to their own file in the folder."""
    vectors = {name: np.asarray(best[name]) for name in _VECTORS}
    named = ("value", "feasible", "columns", "variables", "evaluations", "standard_error")
    record: dict[str, Any] = {name: best[name] for name in named if name in best}
    if math.isnan(record.get("standard_error", 0)):
        record["standard_error"] = None
    if sum(vector.size for vector in vectors.values()) <= _MOST_NUMBERS:
        return record | {name: vector.tolist() for name, vector in vectors.items()}
    with replacing(folder / _FILE) as aside:
        write_arrays(aside, vectors)
    return record | {"vectors": _FILE}


def best_point(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The value and the vectors that ``best.json`` holds. Raises UserError for damaged ones."""
    try:
        if "vectors" in record:
            record = record | parse_arrays(read_safetensors(folder / _FILE))
        is_feasible = bool(record.get("feasible", True))
        columns = record.get("columns")
        found = {"value": float(record["value"]), "feasible": is_feasible, "columns": columns}
        return found | {name: np.array(record[name], np.float64) for name in _VECTORS}
    except (OSError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{folder}/best.json must have a value and its vectors {listed(_VECTORS)}, but: "
            f"{error}; restore it from a copy"
        ) from error
