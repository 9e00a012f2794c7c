"""The named numbers that an evaluation returns: its value, constraints and measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from esengine.errors import NotFiniteError, UserError, in_one_line, listed
from esengine.problems.chunk_arrays import ArraySpec
from esengine.user_code import described, number_of

ColumnKind = Literal["value", "constraint", "measure"]
_KINDS: dict[str, ColumnKind] = {"": "value", "g": "constraint", "m": "measure"}
_EXAMPLE = "for example --returns cost g:stress m:speed"
_TAKEN = ("generation", "member", "steps", "status", "point", "value")
"""Names that the files of members use."""
ARRAY = "columns"
"""The name of the array that a chunk returns for its columns."""


class Column(NamedTuple):
    """One number of an evaluation.

    Attributes:
        name: in metrics and files.
        kind: the value, which the search optimises; a constraint, met at 0 and below; or a measure,
            which is recorded.
    """

    name: str
    kind: ColumnKind


@dataclass(frozen=True)
class Columns:
    """The columns of a run, fixed at its start.

    Attributes:
        all: in the order in which an evaluation returns them.
        value: place of the value among them, or None if it comes from elsewhere, as the return of
            an episode does.
        others: those beside the value, which travel with the members' records.
        constraints: (num_constraints,) places of the constraints among the others.
    """

    all: tuple[Column, ...]

    @classmethod
    def parse(cls, texts: tuple[str, ...], has_value: bool) -> Columns:
        """The columns that ``--returns`` names.

        Args:
            texts: each ``name``, ``g:name`` or ``m:name``.
            has_value: whether one of them must be the value.

        Raises:
            UserError: for texts that name no columns.
        """
        columns = tuple(_column(text) for text in texts)
        names = [column.name for column in columns]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UserError(f"--returns must give each name once, got {listed(twice)} twice")
        taken = [column.name for column in columns if column.name in _TAKEN]
        if taken and taken != [column.name for column in columns if column.kind == "value"]:
            raise UserError(
                f"--returns must be none of {listed(_TAKEN)}, which the files of members use, got "
                f"{taken[0]}; rename it"
            )
        values = [column.name for column in columns if column.kind == "value"]
        if has_value and len(values) != 1:
            raise UserError(
                f"--returns must name one value without a kind, got {listed(values) or 'none'}; "
                f"write the others as g:name, a constraint, or m:name, a measure"
            )
        if not has_value and values:
            raise UserError(
                f"--returns must name constraints and measures where the value is the return of an "
                f"episode, got {values[0]}; write g:{values[0]} or m:{values[0]}"
            )
        return cls(columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns."""
        return tuple(column.name for column in self.all)

    @property
    def value(self) -> int | None:
        return next((i for i, column in enumerate(self.all) if column.kind == "value"), None)

    @property
    def others(self) -> tuple[Column, ...]:
        return tuple(column for column in self.all if column.kind != "value")

    @property
    def constraints(self) -> NDArray[np.int64]:
        kinds = [column.kind for column in self.others]
        return np.array([i for i, kind in enumerate(kinds) if kind == "constraint"], np.int64)

    def spec(self) -> ArraySpec:
        """What a chunk returns for the columns beside the value."""
        return ArraySpec(ARRAY, (len(self.others),))

    def read(self, returned: Any) -> NDArray[np.float64]:
        """The numbers of one evaluation, (1 + num_others,), the value first.

        Args:
            returned: what the objective returned: a table of all names, numbers in their order, or
                the number itself where the value is the only column.

        Raises:
            UserError: it is anything else.
        """
        value = self.value
        assert value is not None
        numbers = self._in_order(returned)
        return np.array([numbers[value], *numbers[:value], *numbers[value + 1 :]])

    def read_many(self, returned: Any, num_members: int) -> NDArray[np.float64]:
        """The numbers of several members, (num_members, 1 + num_others), the value first.

        Args:
            returned: an array (num_members, num_columns), or (num_members,) where the value is the
                only column, or a table of arrays (num_members,).
            num_members: members of the call.

        Raises:
            UserError: it is anything else.
        """
        value = self.value
        assert value is not None
        if isinstance(returned, Mapping):
            self._check_names(returned)
            returned = np.array([np.asarray(returned[name]).ravel() for name in self.names]).T
        try:
            numbers = np.array(returned, np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        width = len(self.all)
        if width == 1 and numbers.shape == (num_members,):
            numbers = numbers[:, None]
        if numbers.shape != (num_members, width):
            shape = f"({num_members},)" if width == 1 else f"({num_members}, {width})"
            raise UserError(
                f"the objective must return an array of shape {shape}, a row for each member of "
                f"--batch, got {described(returned)}"
            )
        order = [value, *(i for i in range(width) if i != value)]
        return numbers[:, order]

    def read_info(self, info: Mapping[str, Any] | None) -> NDArray[np.float64]:
        """The columns in the ``info`` of an episode's last step, (num_others,).

        Raises:
            UserError: it lacks one.
            NotFiniteError: one is not finite.
        """
        found = {} if info is None else info
        missing = [name for name in self.names if name not in found]
        if missing:
            raise UserError(
                f"the info of an episode's last step must have the columns of --returns, lacks "
                f"{listed(missing)}; it has {listed(sorted(map(str, found))) or 'nothing'}"
            )
        numbers = np.array([number_of(f"info[{name!r}]", found[name]) for name in self.names])
        self.check_finite(numbers)
        return numbers

    def check_finite(self, others: NDArray[np.float64]) -> None:
        """Raises NotFiniteError if a column beside the value, of (num_others,), is not finite."""
        if not np.isfinite(others).all():
            index = int(np.argmin(np.isfinite(others)))
            raise NotFiniteError(
                f"the column {self.others[index].name} must be finite, got {others[index]}"
            )

    def _in_order(self, returned: Any) -> list[float]:
        """All numbers in the order of the columns."""
        if isinstance(returned, Mapping):
            self._check_names(returned)
            return [number_of(f"the column {name}", returned[name]) for name in self.names]
        if len(self.all) == 1:
            return [number_of("the value of the objective", returned)]
        numbers = list(returned) if isinstance(returned, tuple | list | np.ndarray) else []
        if len(numbers) != len(self.all):
            raise UserError(
                f"the objective must return {len(self.all)} numbers, or a table of "
                f"{listed(self.names)}, got {described(returned)}"
            )
        return [
            number_of(f"the column {name}", number)
            for name, number in zip(self.names, numbers, strict=True)
        ]

    def _check_names(self, returned: Mapping[Any, Any]) -> None:
        missing = [name for name in self.names if name not in returned]
        unknown = [name for name in returned if name not in self.names]
        if missing or unknown:
            what = f"lacks {listed(missing)}" if missing else f"got also {listed(unknown)}"
            raise UserError(
                f"the objective must return the columns of --returns at every evaluation, "
                f"{in_one_line(what)}; name all of them there"
            )


def _column(text: str) -> Column:
    """The column that one text names. Raises UserError."""
    kind, separator, name = text.rpartition(":")
    if kind not in _KINDS or (separator and not kind) or not name.isidentifier():
        raise UserError(
            f"--returns must be a name, g:name for a constraint or m:name for a measure, got "
            f"{text!r:.80}; {_EXAMPLE}"
        )
    return Column(name, _KINDS[kind])


def columns_of(problem: object) -> Columns | None:
    """The columns that a problem's members return beside their values, or None."""
    columns: Columns | None = getattr(problem, "columns", None)
    return columns if columns is not None and columns.others else None
