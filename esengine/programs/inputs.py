"""What a program reads: a file of the member's numbers, or templates that are filled with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import UserError
from esengine.programs.placeholders import check_placeholders, filled
from esengine.storage.files import read_bytes

_MOST_BYTES = 16 << 20  # of a template


@dataclass(frozen=True)
class Inputs:
    """The files that are written into a member's folder.

    Attributes:
        file: name of the file of numbers, .json or .npy; it is written unless a template has this
            name, or templates are given and it is not.
        templates: texts by the names of their files.
    """

    file: str
    templates: Mapping[str, str]

    @classmethod
    def read(
        cls, file: str | None, templates: tuple[Path, ...], known: Mapping[str, Any]
    ) -> Inputs:
        """Read the templates.

        Args:
            file: name of the file of numbers, or None for the first template, or input.json if
                there is none.
            templates: files.
            known: an example of a value by each name that placeholders may have.

        Raises:
            UserError: a template cannot be read, or has an unknown placeholder; or the file's name
                is not one that can be written.
        """
        texts = {}
        for path in templates:
            try:
                texts[path.name] = read_bytes(path, _MOST_BYTES).decode()
            except (OSError, ValueError) as error:
                raise UserError(f"--template must be readable text, got {path}: {error}") from error
            check_placeholders(f"--template {path}", texts[path.name], known)
        name = file or next(iter(texts), "input.json")
        if Path(name).name != name or not (name in texts or name.endswith((".json", ".npy"))):
            raise UserError(
                f"--input-file must be the name of a .json or .npy file, or of a --template, got "
                f"{name!r}; for example input.json"
            )
        return cls(name, texts)

    def write(self, folder: Path, numbers: NDArray[np.float64], values: Mapping[str, Any]) -> None:
        """Write the files of a member.

        Args:
            folder: the member's.
            numbers: (num_variables,).
            values: what placeholders stand for.
        """
        for name, text in self.templates.items():
            (folder / name).write_text(filled(text, values))
        if self.file in self.templates:
            return
        if self.file.endswith(".npy"):
            np.save(folder / self.file, numbers)
        else:
            (folder / self.file).write_text(json.dumps(dict(values)) + "\n")
