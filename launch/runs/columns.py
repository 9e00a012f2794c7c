"""The rows of a run in columns, since a long run has millions."""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from esengine.launch.runs.json_lines import Row
from esengine.launch.runs.metrics_file import MetricsFile
from esengine.launch.runs.rows import (
    MACHINES,
    AnyRow,
    Decoder,
    decoded,
    is_of_run,
    row_is_of_run,
)

_MOST_PARTS = 1000  # of a line that is drawn, about one per pixel
_MOST_ROWS = 1 << 17  # that are held; more are thinned as they come
_SHORTEST_PART = 8  # rows
_MACHINE = "machine."


class Columns:
    """The rows of a run in columns, which are read when they are first asked for.

    Rows of another run and damaged ones are left out, with a warning. Rows that are appended after
    the first column was read are not seen.

    More than 131,072 rows are thinned as they are read, so that memory is bounded: of each of many
    short parts of the run the rows are held that are the first, the last, the lowest or the highest
    in one of the columns. Reading another column chooses them anew.

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
        self._is_thinned = False
        own = [row for row in file.end() if is_of_run(row, run)]
        self.last: Row | None = own[-1] if own else None

    def numbers(self, name: str) -> NDArray[np.float64]:
        """(num_held,) values of a number, NaN where a row has none; ``machine.NAME`` is one of the
        machine's.
        """
        self.read(name)
        return self._columns[name]

    def vectors(self, name: str) -> NDArray[np.float64]:
        """(num_held, length) values of a list of numbers, which is named ``NAME[LENGTH]``; NaN
        where a row has none of this length.
        """
        self.read(name)
        return self._columns[name]

    def machines(self) -> Iterator[dict[str, Any]]:
        """The ``machine`` object of every row."""
        return (row.machine for rows in self._rows(MACHINES) for row in rows)

    def counted(self, name: str) -> Iterator[tuple[int, int]]:
        """The generation and the count of every row whose count with this name is not 0."""
        fields = [(name, int | None, None)]
        decoder = msgspec.json.Decoder(msgspec.defstruct("Row", fields, bases=(AnyRow,), gc=False))
        for rows in self._rows(decoder):
            counts = ((row.generation, getattr(row, name)) for row in rows)
            yield from ((generation, count) for generation, count in counts if count)

    def read(self, *names: str) -> None:
        """Read columns in one pass; lists are named as in `vectors`."""
        missing = [name for name in dict.fromkeys(names) if name not in self._columns]
        if not missing:
            return
        if self._is_thinned:  # which rows are held depends on all columns
            missing += self._columns
        lists = [name for name in missing if name.endswith("]")]
        flat = [name for name in missing if not name.startswith(_MACHINE) and name not in lists]
        extra: list[tuple[str, Any, None]] = [
            (name, Any, None) for name in flat if name not in AnyRow.__struct_fields__
        ]
        extra += [(name.partition("[")[0], list[float | None] | None, None) for name in lists]
        decoder = msgspec.json.Decoder(msgspec.defstruct("Row", extra, bases=(AnyRow,), gc=False))

        held = _HeldRows(missing)
        for rows in self._rows(decoder):
            held.add(rows)
        self._columns |= held.columns()
        self._is_thinned = held.is_thinned

    def _rows(self, decoder: Decoder) -> Iterator[list[Any]]:
        """The rows of the run, many at once."""
        size = num_damaged = num_foreign = 0
        for lines, rows in decoded(self._file.path, decoder):
            size += sum(map(len, lines))
            while self._size is not None and size > self._size:  # appended since the first time
                size -= len(lines.pop())
                rows.pop()
            whole = [row for row in rows if row is not None]
            own = [row for row in whole if row_is_of_run(row, self._run)]
            num_foreign += len(whole) - len(own)
            num_damaged += len(rows) - len(whole)
            if rows and rows[-1] is None and not lines[-1].endswith(b"\n"):
                num_damaged -= 1  # it is being written
            if own:
                yield own
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


class _HeldRows:
    """Rows in columns. Of too many, cut into parts of equal length, those are held that are the
    first, the last, the lowest or the highest of their part in a column of numbers.
    """

    def __init__(self, names: list[str]) -> None:
        self._columns = {name: _Column(name) for name in names}
        self._places = array("q")  # of the rows among all
        self._num_rows = 0
        self._length = _SHORTEST_PART // 2

    @property
    def is_thinned(self) -> bool:
        return len(self._places) < self._num_rows

    def add(self, rows: list[Any]) -> None:
        for column in self._columns.values():
            column.add(rows)
        self._places.extend(range(self._num_rows, self._num_rows + len(rows)))
        self._num_rows += len(rows)
        if len(self._places) > _MOST_ROWS:
            while len(self._places) > _MOST_ROWS // 2:
                self._thin()

    def columns(self) -> dict[str, NDArray[np.float64]]:
        return {name: column.values() for name, column in self._columns.items()}

    def _thin(self) -> None:
        """Make the parts twice as long. Their extremes are among those of the shorter ones."""
        self._length *= 2
        places = np.frombuffer(self._places, np.int64)
        parts = places // self._length
        stays = np.zeros(places.size, np.bool_)
        for column in self._columns.values():
            values = column.values()
            if values.ndim == 1:
                stays[extremes(parts, values)] = True
        self._places = array("q", places[stays].tobytes())
        for column in self._columns.values():
            column.keep(stays)


def extremes(parts: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Indices of the first, the last, the lowest and the highest value of each part.

    Args:
        parts: (num_values,) numbers of the parts, ascending.
        values: (num_values,), of which NaN is none.
    """
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return known
    parts, values = parts[known], values[known]
    starts = np.flatnonzero(np.diff(parts, prepend=parts[0] - 1))
    sizes = np.diff(starts, append=parts.size)
    found = [starts, starts + sizes - 1]
    for edge in (np.minimum, np.maximum):
        at_edge = np.flatnonzero(values == edge.reduceat(values, starts).repeat(sizes))
        found.append(at_edge[np.diff(parts[at_edge], prepend=parts[0] - 1) > 0])
    indices: NDArray[np.int64] = known[np.concatenate(found)]
    return indices


class _Column:
    """One column, which grows by blocks of rows."""

    def __init__(self, name: str) -> None:
        self._name, _, length = name.removesuffix("]").partition("[")
        self._length = int(length or 0)  # of a list
        self._values = array("d")

    def add(self, rows: list[Any]) -> None:
        self._values.frombytes((self._lists if self._length else self._numbers)(rows).tobytes())

    def values(self) -> NDArray[np.float64]:
        values = np.frombuffer(self._values, np.float64)
        return values.reshape(-1, self._length) if self._length else values

    def keep(self, stays: NDArray[np.bool_]) -> None:
        """Hold the rows that stay alone."""
        self._values = array("d", self.values()[stays].tobytes())

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
        none = [None] * self._length
        same = [each if len(each) == self._length else none for each in lists]
        return np.array(same, np.float64)


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a number that a chart can draw."""
    whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 1023
    return whole or isinstance(value, float)
