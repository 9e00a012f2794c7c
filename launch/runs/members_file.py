"""Every evaluation of a run, in ``members/``: one file for the generations between two checkpoints.

A part ends where a checkpoint was made, and is written before it. So a run that is resumed finds
all members up to its checkpoint, and removes the parts after it.
"""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.storage.files import remove, remove_strays, replace_lasting
from esengine.storage.numpy_files import npz_image

_PART = re.compile(r"(\d{6,})-(\d{6,})\.npz")


class MembersFile:
    """The members of a run, written on the master.

    Args:
        folder: made when there is something to write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting: deque[tuple[int, dict[str, NDArray[Any]]]] = deque()

    def add(self, generation: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Keep the members of a generation until `write`.

        Args:
            generation: its number.
            arrays: by name, (population_size, ...) each, the same names in every generation.
        """
        size = len(next(iter(arrays.values())))
        self._waiting.append((generation, {"generation": np.full(size, generation), **arrays}))

    def write(self, generation: int) -> None:
        """Write the waiting members up to a generation. Raises OSError; then they wait longer."""
        due = [entry for entry in list(self._waiting) if entry[0] <= generation]
        if not due:
            return

        self.folder.mkdir(exist_ok=True)
        names = due[0][1].keys()
        joined = {name: np.concatenate([arrays[name] for _, arrays in due]) for name in names}
        path = self.folder / f"{due[0][0]:06}-{due[-1][0]:06}.npz"
        replace_lasting(path, npz_image(joined))
        for _ in due:
            self._waiting.popleft()

    def cut(self, generation: int) -> None:
        """Remove the parts after a generation, from which the run is resumed."""
        if not self.folder.is_dir():
            return
        remove_strays(self.folder)
        for path in self.folder.iterdir():
            match = _PART.fullmatch(path.name)
            if match and int(match[2]) > generation:
                remove(path)
