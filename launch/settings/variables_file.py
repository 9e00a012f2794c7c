"""The variables of a search in one TOML file: a table for each, by its name."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

from esengine.errors import UserError, listed, nearest
from esengine.storage.files import read_bytes

_MOST_BYTES = 8 << 20
_KINDS = ("real", "integer", "fixed")
_KEYS = ("kind", "lower", "upper", "start", "scale", "value")
_EXAMPLE = "for example [thickness] with lower = 0.1 and upper = 2.0"


def read_variables(path: Path) -> dict[str, Any]:
    """The settings of the search space that a file describes, by their names.

    Raises:
        UserError: the file is unreadable, or describes no variables.
    """
    try:
        tables = tomllib.loads(read_bytes(path, _MOST_BYTES).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--variables must be a readable TOML file, got {path}: {error}") from error
    if not tables:
        raise UserError(f"--variables must describe variables, got none in {path}; {_EXAMPLE}")

    variables = [_Variable(f"--variables {path}", name, table) for name, table in tables.items()]
    fixed = (f"{i}={each.value!r}" for i, each in enumerate(variables) if each.kind == "fixed")
    whole = (i for i, each in enumerate(variables) if each.kind == "integer")
    return {
        "variables": None,
        "variable_names": tuple(tables),
        "dimension": len(variables),
        "initial_mean": tuple(each.start for each in variables),
        "lower_bound": tuple(each.lower for each in variables),
        "upper_bound": tuple(each.upper for each in variables),
        "variable_scales": tuple(each.scale for each in variables),
        "fixed_variables": tuple(fixed),
        "integer_variables": tuple(whole),
    }


class _Variable:
    """One table of the file, checked. Raises UserError."""

    def __init__(self, where: str, name: str, table: Any) -> None:
        if not isinstance(table, dict):
            raise UserError(f"{where} must have a table for each variable, got {name}; {_EXAMPLE}")
        unknown = [key for key in table if key not in _KEYS]
        if unknown:
            raise UserError(
                f"{where} must have keys among {listed(_KEYS)}, got {unknown[0]} for {name}"
                f"{nearest(unknown[0], _KEYS)}"
            )
        self._where = where
        self._name = name
        self._table = table
        self.kind = table.get("kind", "real")
        if self.kind not in _KINDS:
            raise UserError(
                f"{where} must have kinds among {listed(_KINDS)}, got {self.kind!r} for {name}"
            )
        self.value = self._number("value", math.nan)
        self.lower = self._number("lower", -math.inf)
        self.upper = self._number("upper", math.inf)
        self.scale = self._number("scale", 1.0)
        self._check()
        self.start = self.value if self.kind == "fixed" else self._number("start", self._middle())
        if not self.lower <= self.start <= self.upper:
            raise UserError(
                f"{where} must have a start within the bounds {self.lower:g} and {self.upper:g}, "
                f"got {self.start:g} for {name}; give it a start"
            )

    def _check(self) -> None:
        if not self.lower < self.upper:
            raise UserError(
                f"{self._where} must have a lower bound below the upper one, got {self.lower:g} "
                f"and {self.upper:g} for {self._name}"
            )
        if not 0 < self.scale < math.inf:
            raise UserError(
                f"{self._where} must have positive scales, got {self.scale:g} for {self._name}"
            )
        if (self.kind == "fixed") != ("value" in self._table):
            raise UserError(
                f"{self._where} must give a value to fixed variables, and to no others, got "
                f"{self.kind} for {self._name}"
            )

    def _middle(self) -> float:
        boxed = math.isfinite(self.lower) and math.isfinite(self.upper)
        middle = (self.lower + self.upper) / 2 if boxed else 0.0
        return float(math.floor(middle)) if self.kind == "integer" and boxed else middle

    def _number(self, key: str, default: float) -> float:
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(
                f"{self._where} must have numbers, got {key} = {value!r:.80} for {self._name}"
            )
        if key in self._table and not math.isfinite(value) and key not in ("lower", "upper"):
            raise UserError(
                f"{self._where} must have finite numbers, got {key} = {value} for {self._name}"
            )
        return float(value)
