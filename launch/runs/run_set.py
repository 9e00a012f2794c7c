"""A set of runs that share their ranks: a folder of run directories, which it names in
``set.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from esengine.errors import UserError
from esengine.launch.runs.run_directory import RunDirectory
from esengine.storage.files import read_json, write_json

_FILE = "set.json"


def is_set(path: Path) -> bool:
    """Whether a folder is that of a set."""
    return (path / _FILE).is_file()


def write_set(path: Path, names: Sequence[str]) -> None:
    """Record the runs of a set, in order, by the names of their folders."""
    write_json(path / _FILE, {"runs": list(names)})


def runs_of_set(path: Path) -> list[Path]:
    """The run directories of a set, in order. Raises UserError for a record that names none."""
    try:
        names = read_json(path / _FILE)["runs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path / _FILE} must name the runs of a set, but: {error}") from None
    are_names = isinstance(names, list) and all(
        isinstance(name, str) and name not in ("", ".", "..") and "/" not in name for name in names
    )
    if not are_names or not names:
        raise UserError(
            f"{path / _FILE} must name folders beside it, got {names!r:.80}; restore the file"
        )
    return [path / name for name in names]


def directories_of(path: Path, trusted: bool = False) -> list[RunDirectory]:
    """The runs of a set. Raises UserError for a folder that holds no run."""
    return [RunDirectory.open(run, trusted) for run in runs_of_set(path)]
