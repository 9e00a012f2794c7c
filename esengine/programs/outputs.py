"""Where the numbers are in what a program wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from esengine.errors import UserError, in_one_line, listed
from esengine.storage.files import parse_json, read_bytes
from esengine.storage.numpy_files import read_npy
from esengine.user_code import described

STDOUT = "stdout"
"""In place of a file's name: the program's standard output."""
_MOST_BYTES = 64 << 20
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]|\.")


@dataclass(frozen=True)
class Outputs:
    """The file with a member's numbers, and their places in it.

    Attributes:
        file: its name in the member's folder, or `STDOUT`.
        places: by the name of a column a path in JSON, such as ``results[0].drag``, or a pattern
            between slashes, whose last match counts. Without any, the file holds a JSON table of
            the names, or all numbers in their order.
    """

    file: str
    places: Mapping[str, str]

    @classmethod
    def parse(cls, file: str, texts: tuple[str, ...], names: tuple[str, ...]) -> Outputs:
        """The places that ``--value`` names.

        Args:
            file: name of the file, or `STDOUT`.
            texts: each ``name=place``; without a name where there is one column.
            names: of the columns.

        Raises:
            UserError: the texts name no places of these columns.
        """
        if Path(file).name != file or not file:
            raise UserError(
                f"--output-file must be the name of a file in a member's folder, or stdout, got "
                f"{file!r}; for example output.json"
            )
        places = {}
        for text in texts:
            name, separator, place = text.partition("=")
            if not separator or (not name.isidentifier() and len(names) == 1):
                name, place = names[0], text
                if len(names) > 1:
                    raise UserError(
                        f"--value must be name=place with several columns, got {text!r}; for "
                        f"example {names[0]}={text}"
                    )
            if name not in names or name in places:
                raise UserError(
                    f"--value must give each of {listed(names)} once, got {text!r}; name columns "
                    f"by --returns"
                )
            places[name] = _checked(place)
        missing = [name for name in names if places and name not in places]
        if missing:
            raise UserError(
                f"--value must give each of {listed(names)} once, got none for "
                f"{listed(missing)}; add {missing[0]}=..."
            )
        return cls(file, places)

    def read(self, folder: Path, stdout: Path, names: tuple[str, ...]) -> Any:
        """A table of all names, or what `Columns.read` takes in its place.

        Args:
            folder: the member's.
            stdout: the file of its standard output.
            names: of the columns.

        Raises:
            UserError: there is no such file, or it lacks a number.
        """
        path = stdout if self.file == STDOUT else folder / self.file
        shown = "its standard output" if self.file == STDOUT else self.file
        try:
            if path.suffix == ".npy":
                return np.ravel(read_npy(path)).tolist()
            text = read_bytes(path, _MOST_BYTES).decode(errors="replace")
        except FileNotFoundError:
            raise UserError(
                f"the program must write {self.file} into its folder, and wrote none; name the "
                f"file by --output-file, or stdout"
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(f"the program must write {shown}, but: {error}") from error
        if not self.places:
            return _whole(shown, text, names)

        parsed: Any = None
        if any(not _is_pattern(place) for place in self.places.values()):
            parsed = _parsed(shown, text)
        return {
            name: _matched(shown, text, place)
            if _is_pattern(place)
            else _found(shown, parsed, place)
            for name, place in self.places.items()
        }


def _is_pattern(place: str) -> bool:
    return len(place) > 2 and place[0] == place[-1] == "/"


def _checked(place: str) -> str:
    """A valid place. Raises UserError."""
    if _is_pattern(place):
        try:
            groups = re.compile(place[1:-1], re.MULTILINE).groups
        except re.error as error:
            raise UserError(
                f"--value must be a valid pattern, got {place!r}: {error}; for example "
                rf"'/drag = (\S+)/'"
            ) from error
        if groups != 1:
            raise UserError(
                f"--value must be a pattern with one group around the number, got {place!r}; for "
                rf"example '/drag = (\S+)/'"
            )
        return place
    if not place or "".join(match[0] for match in _STEP.finditer(place)) != place:
        raise UserError(
            f"--value must be a path in JSON or a /pattern/, got {place!r}; for example "
            f"results[0].drag"
        )
    return place


def _whole(shown: str, text: str, names: tuple[str, ...]) -> Any:
    """All numbers of a file without places."""
    try:
        value = parse_json(text)
    except ValueError:
        numbers = text.split()
        if len(numbers) == len(names) and all(map(_is_number, numbers)):
            return [float(number) for number in numbers]
        raise UserError(
            f"the program must write {listed(names)} into {shown}, as a JSON table or as plain "
            f"numbers, got {in_one_line(text[-200:]) or 'nothing'}; give their places by --value"
        ) from None
    if isinstance(value, dict):
        missing = [name for name in names if name not in value]
        if missing:
            raise UserError(
                f"{shown} must have {listed(names)}, lacks {listed(missing)}; give their places by "
                f"--value"
            )
        return {name: value[name] for name in names}
    return value


def _parsed(shown: str, text: str) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise UserError(
            f"{shown} must be JSON where --value is a path, but: {error}; use a /pattern/ for text"
        ) from error


def _found(shown: str, value: Any, place: str) -> Any:
    """What stands at a path in JSON."""
    for match in _STEP.finditer(place):
        name, index = match.groups()
        if match[0] == ".":
            continue
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and index is not None and int(index) < len(value):
            value = value[int(index)]
        else:
            raise UserError(
                f"{shown} must have a number at {place}, and has no {match[0]} in "
                f"{in_one_line(json.dumps(value))}"
            )
    return value


def _matched(shown: str, text: str, place: str) -> float:
    """The number in the last match of a pattern."""
    matches = re.findall(place[1:-1], text, re.MULTILINE)
    if not matches:
        raise UserError(f"{shown} must match {place}, got {in_one_line(text[-200:]) or 'nothing'}")
    if not _is_number(matches[-1]):
        raise UserError(f"{shown} must have a number at {place}, got {described(matches[-1])}")
    return float(matches[-1])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
