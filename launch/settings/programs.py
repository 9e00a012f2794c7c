"""Settings of a program that is run for every member."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esengine.checks import at_least
from esengine.errors import UserError
from esengine.programs import Inputs, Outputs, Program, ProgramSpec, words_of


@dataclass(frozen=True)
class ProgramSettings:
    """With --command: what the program reads and writes, and where it runs."""

    input_file: str | None = None
    """Name of the file that the program reads: .json, .npy or that of a --template; default the
    first --template, or input.json.
    """
    template: tuple[Path, ...] = ()
    """Text files that are copied into a member's folder with the values of variables in place of
    {name} or {name:.6e}.
    """
    output_file: str = "output.json"
    """Name of the file that the program writes, or stdout for its standard output."""
    value: tuple[str, ...] = ()
    """Where the numbers are in it: a path in JSON such as results[0].drag, or a /pattern/ with one
    group, whose last match counts; with several columns name=place each.
    """
    scratch: Path | None = None
    """Folder in which members' folders are made; default the node's own disk, by TMPDIR."""
    keep_failed_folders: bool = True
    """Keep the folders of failed members, up to 20 per worker; failures.jsonl names them."""
    threads_per_rank: int | None = None
    """Processor cores of each worker, which are its own, for programs with threads or with an
    mpirun inside; default 1, which any core may be.
    """

    def check(self) -> None:
        """Raises UserError for values out of range."""
        at_least(self, 1, "threads_per_rank")

    def program(
        self,
        command: str,
        variables: Mapping[str, bool],
        columns: tuple[str, ...],
        time_out: float | None,
    ) -> Program:
        """The program as an objective.

        Args:
            command: of ``--command``.
            variables: their names, and whether each is a whole number.
            columns: names of the numbers that it returns.
            time_out: seconds that it may take, or None.

        Raises:
            UserError: there is no such program, or its files are not described.
        """
        known = _examples(variables)
        scratch = self.scratch or Path(tempfile.gettempdir())
        if not (scratch.is_dir() and os.access(scratch, os.W_OK)):
            raise UserError(
                f"--scratch must be a folder that can be written, got {scratch}; make it first"
            )
        words = words_of(command, known)
        outputs = Outputs.parse(self.output_file, self.value, columns)
        inputs = Inputs.read(self.input_file, self.template, known)
        return Program(
            ProgramSpec(
                words,
                inputs,
                outputs,
                variables,
                columns,
                scratch.absolute(),
                self.keep_failed_folders,
                self.threads_per_rank or 1,
                time_out,
            )
        )


def whole_command(command: str, variables: Mapping[str, bool]) -> str:
    """A command with whole paths, which means the same in any folder. Raises UserError."""
    return shlex.join(words_of(command, _examples(variables)))


def _examples(variables: Mapping[str, bool]) -> dict[str, Any]:
    return {name: 1 if whole else 0.5 for name, whole in variables.items()}
