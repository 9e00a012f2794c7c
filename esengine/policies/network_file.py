"""Files of networks: checked arrays, and a checked JSON description in the header.

Policy files, reward files, model files and archive files share it. Reading runs no code, and a
kernel can rely on every part of the type and the size that a file names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from esengine.environments import ActionSpec
from esengine.errors import UserError, listed
from esengine.storage.file_kinds import foreign_kind
from esengine.storage.files import (
    JSON_BYTES,
    parse_arrays,
    parse_json,
    read_safetensors,
    replacing,
    write_arrays,
)

FORMAT = 1
"""The version of these kinds of files."""
_MOST_LAYERS = 1000
_WAYS = {
    "policy": "esengine import reads models of Stable-Baselines3 and ONNX graphs of dense layers; "
    "for another one, write a function of the observation that calls it, record it by esengine "
    "collect --expert module:function, and clone the records by behavior-cloning",
    "reward": "learn one by gail, airl or inverse-rl",
    "model": "learn one by pets",
    "archive": "make one by map-elites, cma-me or cma-mae",
}
_INTEGERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
_DTYPES = ("float16", "float32", "float64", *_INTEGERS)

T = TypeVar("T")
Arrays = dict[str, NDArray[Any]]


def read_network(
    path: str | Path,
    kind: str,
    key: str,
    build: Callable[[dict[str, Any], Arrays], T],
    subject: str,
) -> T:
    """Read a file, or that of a run directory.

    Args:
        path: the file or the directory.
        kind: ``policy``, ``reward``, ``model`` or ``archive``, the name of the file in the
            directory.
        key: of the description in the file's header.
        build: makes the result from the description and the arrays. It raises a ValueError if they
            are invalid.
        subject: what the path was given as, for the error.

    Raises:
        UserError: there is no such file, or it is damaged or of another kind.
    """
    path = Path(path)
    try:
        if path.is_dir():
            path = path / f"{kind}.safetensors"
        if kind != "archive" and not path.exists() and (path.parent / "best.json").exists():
            raise UserError(
                f"{subject} must be of a run with a {kind}, got {path.parent}, which minimised a "
                f"function; its best point is in best.json"
            )
        if not path.exists():
            raise UserError(
                f"{subject} must be a run directory or a {kind} file, got {path}, which does not "
                f"exist"
            )

        foreign = foreign_kind(path)
        image = b"" if foreign else read_safetensors(path, JSON_BYTES)
        described = None if foreign else _description_in(image, key)
        is_export = isinstance(described, dict) and "format" not in described
        if described is None or is_export:
            other = (
                "a file of esengine export" if is_export else "a safetensors file of another kind"
            )
            got = foreign or other
            raise UserError(
                f"{path} must be a {kind} that esengine wrote, got {got}, which it does not "
                f"read as one; {_WAYS[kind]}"
            )
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise UserError(
                f"{path} must be a {kind} of format {FORMAT}, got another one; use the version of "
                f"esengine that wrote it"
            )
        return build(described, parse_arrays(image, JSON_BYTES))

    except UserError:
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise UserError(f"{path} must be a whole {kind} file, but: {error}") from error


def is_file_of(path: Path, key: str) -> bool:
    """Whether a file's header has a description under a key. Raises UserError for one that cannot
    be read.
    """
    try:
        foreign = foreign_kind(path)
        return not foreign and _description_in(read_safetensors(path, JSON_BYTES), key) is not None
    except (ValueError, OSError, MemoryError) as error:
        raise UserError(f"{path} must be a whole file, but: {error}") from error


def write_network(path: Path, key: str, described: dict[str, Any], arrays: Arrays) -> None:
    """Write a file that `read_network` reads.

    It is written aside, flushed and renamed, so that a reader never sees half of it.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as aside:
        write_arrays(aside, arrays, {key: json.dumps({"format": FORMAT} | described)})


def _description_in(image: bytes, key: str) -> Any:
    """The JSON value under a key of a safetensors file's header, or None if there is none."""
    size = int.from_bytes(image[:8], "little")
    if len(image) < 8 or size > min(len(image) - 8, JSON_BYTES):
        raise ValueError(f"its header claims {size} bytes")

    header = parse_json(image[8 : 8 + size])
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    text = metadata.get(key) if isinstance(metadata, dict) else None
    return parse_json(text) if isinstance(text, str) else None


def check_arrays(arrays: Arrays, sizes: dict[str, int]) -> None:
    """Raise a ValueError unless the arrays have these names and sizes, are float32 and finite."""
    if set(arrays) != set(sizes):
        raise ValueError(
            f"its arrays must be {listed(sorted(sizes))}, got {listed(sorted(arrays))[:200]}"
        )
    for name, size in sizes.items():
        array = arrays[name]
        if array.shape != (size,) or array.dtype != np.float32:
            raise ValueError(
                f"{name} must be float32 of shape ({size},), got {array.dtype} of shape "
                f"{array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")


def fields_from(data: Any, *names: str) -> list[Any]:
    """The values of a table that has exactly these names."""
    if not isinstance(data, dict) or set(data) != set(names):
        raise ValueError(f"its description must have {listed(names)}, got {data!r:.200}")
    return [data[name] for name in names]


def action_from(data: Any) -> ActionSpec:
    """The action space that a description holds."""
    kind, sizes, low, high, shape, starts, dtype = fields_from(
        data, "kind", "sizes", "low", "high", "shape", "starts", "dtype"
    )
    require(kind in ("box", "discrete", "multi-discrete", "multi-binary"), "kind", kind)
    require(is_list_of(sizes, is_count) and bool(sizes), "sizes", sizes)
    if kind in ("box", "multi-binary"):
        require(set(sizes) == {1}, "sizes", sizes)

    num_bounds = len(sizes) if kind == "box" else 0
    require(is_list_of(low, _is_bound) and len(low) == num_bounds, "low", low)
    require(is_list_of(high, _is_bound) and len(high) == num_bounds, "high", high)
    require(all(below <= above for below, above in zip(low, high, strict=True)), "low", low)

    require(is_list_of(shape, is_count) and math.prod(shape) == len(sizes), "shape", shape)
    num_starts = len(sizes) if kind in ("discrete", "multi-discrete") else 0
    require(is_list_of(starts, _is_start) and len(starts) == num_starts, "starts", starts)
    require(isinstance(dtype, str) and dtype in _DTYPES, "dtype", dtype)

    return ActionSpec(
        kind, tuple(sizes), tuple(low), tuple(high), tuple(shape), tuple(starts), dtype
    )


def hidden_sizes_from(data: Any) -> tuple[int, ...]:
    """The sizes of the hidden layers that a description holds."""
    require(is_list_of(data, is_count) and len(data) <= _MOST_LAYERS, "hidden_sizes", data)
    return tuple(data)


def require(condition: bool, name: str, value: Any) -> None:
    """Raise a ValueError for an invalid value unless the condition holds."""
    if not condition:
        raise ValueError(f"{name} is invalid: {value!r:.80}")


def is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 31


def is_list_of(value: Any, is_valid: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(is_valid(item) for item in value)


def _is_bound(value: Any) -> bool:
    return isinstance(value, float) and not math.isnan(value)


def _is_start(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 62
