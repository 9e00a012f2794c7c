"""Rows of metrics, and how lines are decoded to rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec

from esengine.launch.runs.json_lines import Row, blocks_of
from esengine.storage.files import parse_json

MARK = 8  # characters of the identity that a row holds, which tell any two runs of a user apart


class _Machine(msgspec.Struct, gc=False):
    """The numbers of the machine in every row that are read in columns."""

    run: str | None = None
    workers: int = 1
    elapsed_s: float | None = None


class AnyRow(msgspec.Struct, gc=False):
    """What every row must have."""

    generation: Annotated[int, msgspec.Meta(ge=1, lt=1 << 53)]
    env_steps: float
    evaluations: float
    machine: _Machine
    fitness_mean: float | None = None
    fitness_max: float | None = None
    fitness_std: float | None = None
    cost_min: float | None = None
    episode_return_eval: float | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, lt=1e12)]


class _ShownMachine(_Machine):
    """The numbers of the machine that are shown."""

    workers: _Count = 1
    elapsed_s: _Seconds | None = None
    steps_per_s: float | None = None
    busy_share: float | None = None


class _ShownRow(AnyRow):
    """The numbers of a row that are shown while a run goes on."""

    env_steps: float
    evaluations: float
    machine: _ShownMachine
    fitness_mean: float | None = None
    fitness_max: float | None = None
    episode_return_eval: float | None = None
    population_size: _Count | None = None
    failed_members: _Count | None = None
    sigma: float | None = None
    axis_ratio: float | None = None
    loss: float | None = None
    loss_held_out: float | None = None
    labels: float | None = None


class _MachineRow(msgspec.Struct, gc=False):
    machine: dict[str, Any]


PLAIN = msgspec.json.Decoder(AnyRow)
MACHINES = msgspec.json.Decoder(_MachineRow)
Decoder = msgspec.json.Decoder[Any]


def parse_row(line: bytes) -> Row | None:
    """The row in a line, or None for a line that is cut short, damaged or not of a run."""
    with suppress(ValueError):
        row: Row = parse_json(line)
        return row if is_row(row) else None
    return None


def is_row(value: Any) -> bool:
    """Whether a JSON value is a row that charts can draw and a run can be resumed from."""
    try:
        msgspec.convert(value, _ShownRow)
    except (msgspec.MsgspecError, OverflowError, RecursionError):
        return False
    return True


def is_of_run(row: Row, run: str) -> bool:
    """Whether a row names the run with this identity, or none; "" is an unknown identity."""
    return not run or row["machine"].get("run", run[:MARK]) in (None, run[:MARK])


def row_is_of_run(row: Any, run: str) -> bool:
    machine = row.machine
    mark = machine.get("run") if isinstance(machine, dict) else machine.run
    return not run or mark in (None, run[:MARK])


def decoded(path: Path, decoder: Decoder) -> Iterator[tuple[list[bytes], list[Any]]]:
    """The lines of a file with their rows, None for damaged ones, many at once."""
    for lines in blocks_of(path) if path.exists() else ():
        rows: list[Any] = []
        with suppress(msgspec.MsgspecError, RecursionError):
            rows = decoder.decode_lines(b"".join(lines))
        if len(rows) != len(lines):
            rows = [_row(line, decoder) for line in lines]
        yield lines, rows


def _row(line: bytes, decoder: Decoder) -> Any:
    """The row in a line that may be damaged, or have the infinities of earlier versions."""
    with suppress(msgspec.MsgspecError, RecursionError):
        return decoder.decode(line)
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.convert(parse_json(line), decoder.type)
    return None
