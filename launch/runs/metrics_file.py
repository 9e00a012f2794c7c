"""The rows of metrics of a run, ``metrics.jsonl``: one a generation, appended by the master, and
read in columns by everything else, since a long run has millions.
"""

from __future__ import annotations

import json
import math
import warnings
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.launch.runs.json_lines import LINE_BYTES, Row, lines_of
from esengine.storage.files import (
    append_whole,
    flush,
    parse_json,
    read_end,
    replacing,
)

MARK = 8  # characters of the identity that a row holds, which tell any two runs of a user apart
_BLOCK = 1000  # lines that are decoded at once
_MOST_PARTS = 2000  # of a line that is drawn
_MACHINE = "machine."


class _Machine(msgspec.Struct):
    """The numbers of the machine in every row that are read in columns."""

    run: str | None = None
    workers: int = 1
    elapsed_s: float | None = None


class _AnyRow(msgspec.Struct):
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


class _ShownRow(_AnyRow):
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


class _MachineRow(msgspec.Struct):
    machine: dict[str, Any]


_PLAIN = msgspec.json.Decoder(_AnyRow)
_MACHINES = msgspec.json.Decoder(_MachineRow)
_Decoder = msgspec.json.Decoder[Any]


class MetricsFile:
    """The rows of metrics of a run: each is appended whole or not at all, and kept in memory while
    the disk is full.

    Args:
        path: the file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: list[bytes] = []  # rows that did not fit on the disk

    def add(self, row: Row) -> None:
        """Append a row, after the waiting ones.

        Raises:
            OSError: the disk is full or gone. The row waits for the next call, and the file ends
                with a whole row.
        """
        try:
            text = json.dumps(row, allow_nan=False)
        except ValueError:  # infinity and NaN are no JSON
            text = json.dumps(_finite(row))
        self._waiting.append(text.encode() + b"\n")
        self.append_waiting()

    def append_waiting(self) -> None:
        """Append the rows that the disk refused. Raises OSError if it still does."""
        if self._waiting:
            append_whole(self.path, b"".join(self._waiting))
            self._waiting = []

    def flush(self) -> None:
        """Let the rows in the file survive a crash of the machine, for a checkpoint that relies on
        them.

        Raises:
            OSError: the disk is full or gone.
        """
        if self.path.exists():
            flush(self.path)

    def cut(self, generation: int, run: str = "") -> None:
        """Remove the rows after a generation, from which the run is resumed, and lines that are cut
        short or damaged.

        Args:
            generation: the last one to keep.
            run: the identity of the run, or "" where it is unknown.

        Raises:
            UserError: there are rows of another run; nothing is removed.
        """
        if not self.path.exists():
            return

        def stays(row: Any) -> bool:
            return row is not None and row.generation <= generation

        count, is_whole = 0, True
        for line, row in _decoded(self.path, _PLAIN):
            if row is not None:
                self._check_run(row, run)
            count += stays(row)
            is_whole &= stays(row) and line.endswith(b"\n")

        if count < generation:
            lost = f"{self.path} has lost rows: {count} of {generation} are left"
            warnings.warn(lost, stacklevel=2)
        if is_whole:
            return
        with replacing(self.path) as aside:
            kept = (line for line, row in _decoded(self.path, _PLAIN) if stays(row))
            while block := list(islice(kept, _BLOCK)):
                append_whole(aside, b"".join(line.rstrip(b"\n") + b"\n" for line in block))

    def check_first(self, run: str) -> None:
        """Raises UserError if the first row is of another run."""
        if self.path.exists():
            _, row = next(_decoded(self.path, _PLAIN), (b"", None))
            if row is not None:
                self._check_run(row, run)

    def _check_run(self, row: _AnyRow, run: str) -> None:
        if not _is_of_run(row, run):
            raise UserError(
                f"{self.path} must hold rows of the run that config.json describes, got those of "
                f"one with other settings from generation {row.generation} on; restore it from a "
                f"copy, or move it away"
            )

    def end(self) -> list[Row]:
        """The last rows, as many as fit into `LINE_BYTES`, without damaged ones."""
        if not self.path.exists():
            return []
        try:
            lines = read_end(self.path, LINE_BYTES).splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} must be a readable file, but: {error}") from error
        return [row for line in lines if (row := parse_row(line))]

    def rows(self, run: str = "") -> Iterator[Row]:
        """All rows one by one, without those of another run and damaged ones."""
        if self.path.exists():
            for line in lines_of(self.path):
                row = parse_row(line)
                if row is not None and is_of_run(row, run):
                    yield row


class Columns:
    """The rows of a run in columns, which are read when they are first asked for.

    Rows of another run and damaged ones are left out, with a warning. Rows that are appended after
    the first column was read are not seen.

    Args:
        file: the rows.
        run: the identity of the run, or "" where it is unknown.
        warn_of_another_run: called if rows are of another run.

    Attributes:
        last: the last row, or None if there is none.
    """

    def __init__(
        self,
        file: MetricsFile,
        run: str = "",
        warn_of_another_run: Callable[[], None] | None = None,
    ) -> None:
        self._file = file
        self._run = run
        self._warn = warn_of_another_run
        self._size: int | None = None  # of the file when it was first read
        self._columns: dict[str, NDArray[np.float64]] = {}
        own = [row for row in file.end() if is_of_run(row, run)]
        self.last: Row | None = own[-1] if own else None

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(num_rows,) values of a number, NaN where a row has none; ``machine.NAME`` is one of the
        machine's.
        """
        self.read(name)
        return self._columns[name]

    def vectors(self, name: str) -> NDArray[np.float64]:
        """(num_rows, length) values of a list of numbers, NaN where a row has none."""
        name += "[]"
        self.read(name)
        return self._columns[name]

    def machines(self) -> Iterator[dict[str, Any]]:
        """The ``machine`` object of every row."""
        return (row.machine for row in self._rows(_MACHINES))

    def read(self, *names: str) -> None:
        """Read columns in one pass; lists are named with ``[]`` at the end."""
        missing = [name for name in dict.fromkeys(names) if name not in self._columns]
        if not missing:
            return
        flat = [name for name in missing if not name.startswith(_MACHINE) and name[-2:] != "[]"]
        extra: list[tuple[str, Any, None]] = [
            (name, Any, None) for name in flat if name not in _AnyRow.__struct_fields__
        ]
        extra += [(name[:-2], list[float | None] | None, None) for name in missing if "[]" in name]
        decoder = msgspec.json.Decoder(msgspec.defstruct("Row", extra, bases=(_AnyRow,)))

        columns = {name: _Column(name) for name in missing}
        rows = self._rows(decoder)
        while block := list(islice(rows, _BLOCK)):
            for column in columns.values():
                column.add(block)
        self._columns |= {name: column.values() for name, column in columns.items()}

    def _rows(self, decoder: _Decoder) -> Iterator[Any]:
        size = num_damaged = num_foreign = 0
        for line, row in _decoded(self._file.path, decoder):
            if self._size is not None and size >= self._size:
                break
            size += len(line)
            if row is None:
                num_damaged += line.endswith(b"\n")  # another is being written
            elif not _is_of_run(row, self._run):
                num_foreign += 1
            else:
                yield row
        if self._size is None:
            self._size = size
            self._tell(num_damaged, num_foreign)

    def _tell(self, num_damaged: int, num_foreign: int) -> None:
        if num_foreign and self._warn is not None:
            self._warn()
        if num_damaged:
            warnings.warn(
                f"{self._file.path} has damaged rows, which are left out: {num_damaged}",
                stacklevel=2,
            )


def thinned(
    xs: NDArray[np.float64], ys: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of a line that look the same in a picture: of each of many short parts the first, the
    last, the lowest and the highest one.

    Args:
        xs: (num_points,) ascending.
        ys: (num_points,) without NaN.

    Returns:
        The points, at most 4 times `_MOST_PARTS`.
    """
    length = len(ys) // _MOST_PARTS
    if length <= 4:
        return xs, ys
    starts = np.arange(0, len(ys) - length + 1, length)
    parts = ys[: len(starts) * length].reshape(-1, length)
    places = [starts, starts + length - 1, starts + parts.argmin(1), starts + parts.argmax(1)]
    kept = np.unique(np.concatenate([*places, np.arange(starts[-1] + length, len(ys))]))
    return xs[kept], ys[kept]


def _finite(value: Any) -> Any:
    """A JSON value with None in place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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


def _is_of_run(row: Any, run: str) -> bool:
    machine = row.machine
    mark = machine.get("run") if isinstance(machine, dict) else machine.run
    return not run or mark in (None, run[:MARK])


def _decoded(path: Path, decoder: _Decoder) -> Iterator[tuple[bytes, Any]]:
    """The lines of a file with their rows, None for damaged ones."""
    lines = lines_of(path) if path.exists() else iter(())
    while block := list(islice(lines, _BLOCK)):
        rows: list[Any] = []
        with suppress(msgspec.MsgspecError, RecursionError):
            rows = decoder.decode_lines(b"".join(block))
        if len(rows) != len(block):
            rows = [_row(line, decoder) for line in block]
        yield from zip(block, rows, strict=True)


def _row(line: bytes, decoder: _Decoder) -> Any:
    """The row in a line that may be damaged, or have the infinities of earlier versions."""
    with suppress(msgspec.MsgspecError, RecursionError):
        return decoder.decode(line)
    with suppress(msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.convert(parse_json(line), decoder.type)
    return None


class _Column:
    """One column, which grows by blocks of rows."""

    def __init__(self, name: str) -> None:
        self._is_list = name.endswith("[]")
        self._name = name.removesuffix("[]")
        self._values = array("d")
        self._num_rows = 0
        self._length = 0  # of a list: that of the first one

    def add(self, rows: list[Any]) -> None:
        self._values.frombytes((self._lists if self._is_list else self._numbers)(rows).tobytes())
        self._num_rows += len(rows)

    def values(self) -> NDArray[np.float64]:
        values = np.frombuffer(self._values, np.float64)
        return values.reshape(self._num_rows, self._length) if self._is_list else values

    def _numbers(self, rows: list[Any]) -> NDArray[np.float64]:
        if self._name.startswith(_MACHINE):
            name = self._name.removeprefix(_MACHINE)
            return np.array([getattr(row.machine, name) for row in rows], np.float64)
        values = [getattr(row, self._name) for row in rows]
        try:
            return np.array(values, np.float64)
        except (TypeError, ValueError, OverflowError):
            return np.array([value if _is_number(value) else None for value in values], np.float64)

    def _lists(self, rows: list[Any]) -> NDArray[np.float64]:
        lists = [getattr(row, self._name) or [] for row in rows]
        if not self._length:
            self._length = next((len(each) for each in lists if each), 0)
            self._values.extend([math.nan] * (self._num_rows * self._length))
        length = self._length
        return np.array([(each + [None] * length)[:length] for each in lists], np.float64)


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a chart can draw."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023
    return whole or isinstance(value, float)
