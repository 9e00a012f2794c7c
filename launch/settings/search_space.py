"""Settings of the space that an objective is searched in: start, bounds, units, fixed and integer
variables.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.checks import belong_to, flag_name, is_default, within
from esengine.errors import UserError
from esengine.launch.settings.variables_file import read_variables
from esengine.problems.search_space import SearchSpace
from esengine.storage.files import read_bytes
from esengine.storage.numpy_files import read_npy

MOST_PARAMETERS = 1 << 48  # with more, NumPy raises other errors than MemoryError
_TEXT_BYTES = 8 << 20  # of a file of numbers, which takes forty times as much; more is for .npy

Numbers = float | tuple[float, ...] | Path
"""One number for all variables, one per variable, or a file of numbers, .npy or text."""


@dataclass(frozen=True)
class SpaceSettings:
    """The space that an objective is searched in; policies have none of these."""

    dimension: int | None = None
    """Number of parameters of the objective."""
    initial_mean: Numbers | None = None
    """Start of the variables: one number, one per variable, or a file; default 0, or the middle
    between two bounds.
    """
    lower_bound: Numbers | None = None
    """Lower bound of the variables: one number, one per variable, or a file (.npy or text); -inf is
    no bound.
    """
    upper_bound: Numbers | None = None
    """Upper bound of the variables, given in the same ways; inf is no bound."""
    variable_scales: Numbers | None = None
    """Unit of the variables, in which --sigma is measured, given in the same ways; default 1."""
    fixed_variables: tuple[str, ...] = ()
    """Variables with a fixed value, each as index=value counted from 0; 2:5=1 fixes 2, 3 and 4."""
    integer_variables: tuple[int | str, ...] = ()
    """Variables that are whole numbers: indices counted from 0, ranges such as 2:5, : for all."""
    variable_names: tuple[str, ...] = ()
    """Names of the variables, in order; default x0, x1 and so on."""
    variables: Path | None = None
    """TOML file with a table for each variable, by its name, with kind, lower, upper, start, scale
    and value; in place of all flags above.
    """

    def check(self) -> None:
        """Raises UserError for a number of parameters that no vector can have, or for names that
        are none.
        """
        way_out = "give the objective's number of parameters"
        within(self, 1, MOST_PARAMETERS, "dimension", way_out=way_out)
        names = self.variable_names
        wrong = [name for name in names if not name.isidentifier() or names.count(name) > 1]
        if wrong:
            raise UserError(
                f"--variable-names must be different words of letters, digits and underscores, got "
                f"{wrong[0]!r}; rename it"
            )
        if names and self.dimension is not None and len(names) != self.dimension:
            raise UserError(
                f"--variable-names must be {self.dimension}, one per variable, got {len(names)}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all variables."""
        return self.variable_names or tuple(f"x{i}" for i in range(self.dimension or 0))

    @property
    def has_space(self) -> bool:
        """Whether the space is not simply all vectors of numbers."""
        shape = {"dimension", "initial_mean", "variables", "variable_names"}
        names = {field.name for field in fields(SpaceSettings)} - shape
        return not all(is_default(self, name) for name in names)

    def read_files(self) -> dict[str, Any]:
        """The settings that files give, so that a run needs no file elsewhere. Raises UserError."""
        if self.variables is not None:
            others = {field.name for field in fields(SpaceSettings)} - {"variables"}
            belong_to(self, "runs without --variables", str(self.variables), *sorted(others))
            return read_variables(self.variables)
        given = {field.name: getattr(self, field.name) for field in fields(SpaceSettings)}
        return {
            name: _read(flag_name(name), value)
            for name, value in given.items()
            if isinstance(value, Path)
        }

    def space(self, num_variables: int) -> SearchSpace:
        """The space. Raises UserError for settings that describe none."""
        free = SearchSpace.free(num_variables)

        lower = self._numbers("lower_bound", free.lower)
        upper = self._numbers("upper_bound", free.upper)
        _refuse(~(lower < upper), "--lower-bound", "must be below --upper-bound", lower)
        scales = self._numbers("variable_scales", free.scales)
        positive = (scales > 0) & np.isfinite(scales)
        _refuse(~positive, "--variable-scales", "must be positive", scales)

        fixed = free.fixed
        whole = free.whole
        for text in self.fixed_variables:
            name, separator, value = text.partition("=")
            chosen = _variables("--fixed-variables", name, num_variables)
            fixed[chosen] = _number(text, value if separator else "")
        for number in self.integer_variables:
            whole[_variables("--integer-variables", str(number), num_variables)] = True

        broken = whole & (np.floor(fixed) != fixed) & ~np.isnan(fixed)
        outside = (fixed < lower) | (fixed > upper) | broken
        rule = "must lie within the bounds, whole where the variable is"
        _refuse(outside, "--fixed-variables", rule, fixed)
        space = SearchSpace(lower, upper, scales, fixed, whole)
        if not space.dimension:
            raise UserError(
                "--fixed-variables must leave a variable to search, got all of them; free one"
            )
        empty = whole & (np.ceil(lower) > np.floor(upper))
        _refuse(empty, "--integer-variables", "must have a whole number between bounds", lower)
        return space

    def start(self, space: SearchSpace) -> NDArray[np.float64]:
        """The start of the search, (num_variables,). Raises UserError for a point outside of the
        space.
        """
        middle = np.zeros(space.num_variables)
        boxed = np.isfinite(space.lower) & np.isfinite(space.upper)
        middle[boxed] = (space.lower[boxed] + space.upper[boxed]) / 2
        mean = self._numbers("initial_mean", middle)
        _refuse(~np.isfinite(mean), "--initial-mean", "must be finite", mean)
        outside = ((mean < space.lower) | (mean > space.upper)) & np.isnan(space.fixed)
        _refuse(outside, "--initial-mean", "must lie within the bounds", mean)
        return mean

    def check_sigma(self, space: SearchSpace, sigma: float) -> None:
        """Raises UserError for a step size wider than the bounds of a variable, from which members
        would hit the bounds by chance only.
        """
        continuous = np.isnan(space.fixed) & ~space.whole
        widths = np.where(continuous, (space.upper - space.lower) / space.scales, np.inf)
        narrowest = int(np.argmin(widths))
        width = widths[narrowest]
        if sigma > width:
            raise UserError(
                f"--sigma must be at most the width of the bounds, {width:g} for variable "
                f"{narrowest}, got {sigma:g}; use a third, {width / 3:.2g}, or give every variable "
                f"its unit by --variable-scales"
            )

    def _numbers(self, name: str, default: NDArray[np.float64]) -> NDArray[np.float64]:
        """A setting as one number per variable."""
        value = getattr(self, name)
        if value is None:
            return default.copy()
        if isinstance(value, Path):
            value = _read(flag_name(name), value)
        numbers = np.array(value, np.float64)
        if numbers.size not in (1, default.size):
            raise UserError(
                f"{flag_name(name)} must be one number or {default.size}, one per variable, got "
                f"{numbers.size}"
            )
        if np.isnan(numbers).any():
            raise UserError(
                f"{flag_name(name)} must be numbers, got NaN; -inf and inf stand for no bound"
            )

        return np.broadcast_to(numbers.ravel(), default.shape).copy()


def _read(flag: str, path: Path) -> tuple[float, ...]:
    """The numbers in a file, .npy or text, without running code. Raises UserError."""
    try:
        if path.suffix == ".npy":
            numbers = read_npy(path)
        else:
            text = read_bytes(path, _TEXT_BYTES).decode()
            numbers = np.loadtxt(io.StringIO(text), ndmin=1)
        return tuple(np.asarray(numbers, np.float64).ravel().tolist())
    except (OSError, ValueError, MemoryError) as error:
        raise UserError(
            f"{flag} must be numbers, or a .npy or text file of them, got {path}: {error}"
        ) from error


def _variables(flag: str, text: str, count: int) -> slice:
    """The variables of an index or a range. Raises UserError for variables that do not exist."""
    first, is_range, stop = text.partition(":")
    try:
        start = int(first) if first else 0
        end = (int(stop) if stop else count) if is_range else start + 1
        if (first or is_range) and 0 <= start < end <= count:
            return slice(start, end)
    except ValueError:
        pass
    raise UserError(
        f"{flag} must be variables from 0 to {count - 1}, or a range such as 0:{count}, got "
        f"{text!r}"
    )


def _number(text: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise UserError(f"--fixed-variables must be number=value, got {text!r}; for example 3=0.5")
    return number


def _refuse(wrong: NDArray[np.bool_], flag: str, rule: str, got: NDArray[np.float64]) -> None:
    """Raises UserError that names the first variable that breaks a rule."""
    if wrong.any():
        variable = int(np.argmax(wrong))
        raise UserError(
            f"{flag} {rule}, got {got[variable]:g} for variable {variable}; change it there"
        )
