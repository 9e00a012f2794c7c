"""A program as an objective: a folder, an input, a start and an output for each member."""

from __future__ import annotations

import inspect
import os
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esengine.errors import MemberError, UserError
from esengine.programs.child import STDOUT_FILE, environment_of_program, run_program, tail_of
from esengine.programs.inputs import Inputs
from esengine.programs.outputs import Outputs
from esengine.programs.placeholders import check_placeholders, filled, placeholders_of
from esengine.ranks import shared_folder
from esengine.user_code import note_open

EXAMPLES = {"input": "file", "output": "file", "folder": "file", "seed": 1, "threads": 1}
"""Placeholders of a command beside the names of variables, each with an example."""
_MOST_KEPT = 20  # folders of failed members that one rank keeps


@dataclass(frozen=True)
class ProgramSpec:
    """What is run for a member.

    Attributes:
        words: the program and its arguments, with placeholders.
        inputs: what it reads.
        outputs: where its numbers are.
        variables: names of the numbers of a point, (num_variables,), and whether each is whole.
        columns: names of the numbers that it returns.
        scratch: the folder in which members' folders are made, on the node's own disk.
        keep_failed: whether the folders of failed members are kept.
        threads: processor cores of one start.
        time_out: seconds that one start may take, or None.
    """

    words: tuple[str, ...]
    inputs: Inputs
    outputs: Outputs
    variables: Mapping[str, bool]
    columns: tuple[str, ...]
    scratch: Path
    keep_failed: bool = True
    threads: int = 1
    time_out: float | None = None


class Program:
    """The objective of a program. It takes a seed if its command has the placeholder.

    Args:
        spec: what is run.
    """

    def __init__(self, spec: ProgramSpec) -> None:
        self._spec = spec
        parameters = [inspect.Parameter("point", inspect.Parameter.POSITIONAL_ONLY)]
        if any("seed" in placeholders_of(word) for word in spec.words):
            parameters.append(inspect.Parameter("seed", inspect.Parameter.KEYWORD_ONLY))
        self.__signature__ = inspect.Signature(parameters)
        self._environment: dict[str, str] | None = None
        self._root: Path | None = None
        self._lock = -1
        self._place = (0, 0)
        self._attempts: Counter[tuple[int, int]] = Counter()
        self._num_kept = 0

    def at(self, generation: int, member: int) -> None:
        """Name the member of the next call, for its folder."""
        if generation != self._place[0]:
            self._attempts.clear()
        self._place = (generation, member)

    def __call__(self, point: NDArray[np.float64], /, *, seed: int | None = None) -> Any:
        """What the program returns for a point, see `Outputs.read`.

        Raises:
            MemberError: it failed.
            UserError: its output lacks a number.
        """
        spec = self._spec
        folder = self._new_folder()
        numbers = np.asarray(point, np.float64)
        values: dict[str, Any] = {
            name: int(number) if whole else number
            for (name, whole), number in zip(spec.variables.items(), numbers.tolist(), strict=True)
        }
        files = {
            "input": folder / spec.inputs.file,
            "output": folder / spec.outputs.file,
            "folder": folder,
            "seed": seed,
            "threads": spec.threads,
        }
        words = [filled(word, values | files) for word in spec.words]
        if self._environment is None:
            self._environment = environment_of_program(spec.threads)
        try:
            spec.inputs.write(folder, numbers, values)
            run_program(words, folder, self._environment, spec.time_out)
            returned = spec.outputs.read(folder, folder / STDOUT_FILE, spec.columns)
        except (MemberError, UserError) as error:
            if not self._place[0]:  # a trial
                raise
            tail = tail_of(folder) if isinstance(error, UserError) else ""
            kept = self._keep(folder)
            raise type(error)(f"{error}{tail}{_where(kept)}") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return returned

    def close(self) -> None:
        """Remove what is left of the members' folders."""
        if self._root is not None:
            shared_folder.leave(self._root, self._lock)
            self._root = None

    def _new_folder(self) -> Path:
        """A folder for one start of the program."""
        if self._root is None:
            try:
                shared_folder.remove_abandoned(self._spec.scratch)
                prefix = f".{shared_folder.PREFIX}"  # nobody looks for it until it is locked
                hidden = Path(tempfile.mkdtemp(prefix=prefix, dir=self._spec.scratch))
                self._lock = shared_folder.join(hidden)
                self._root = hidden.rename(hidden.with_name(hidden.name[1:]))
            except OSError as error:
                raise MemberError(
                    f"--scratch {self._spec.scratch} must be a folder that can be written: "
                    f"{error.strerror}"
                ) from error
            note_open(self)
        self._attempts[self._place] += 1
        generation, member = self._place
        attempt = self._attempts[self._place]
        folder = self._root / f"generation-{generation}-member-{member}-attempt-{attempt}"
        folder.mkdir()
        return folder

    def _keep(self, folder: Path) -> Path | None:
        """Keep the folder of a failed member, unless enough are kept; returns where it is."""
        if not self._spec.keep_failed or self._num_kept >= _MOST_KEPT:
            return None
        assert self._root is not None
        kept = self._spec.scratch / f"failed-{self._root.name}-{folder.name}"
        with suppress(OSError):
            folder.rename(kept)
            self._num_kept += 1
            return kept
        return None


def words_of(command: str, known: Mapping[str, Any]) -> tuple[str, ...]:
    """The program and its arguments that ``--command`` names, with whole paths, since a member has
    a working folder of its own.

    Args:
        command: as in a shell, but no shell runs it.
        known: an example of a value by the name of each variable.

    Raises:
        UserError: there is no such program, or a placeholder is unknown.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(
            f"--command must be words as in a shell, got {command!r}: {error}"
        ) from error
    if not words:
        raise UserError("--command must name a program, got nothing; for example './sim {input}'")
    for word in words:
        check_placeholders("--command", word, {**known, **EXAMPLES})
    program = shutil.which(words[0])
    if program is None:
        raise UserError(
            f"--command must name a program that exists and can be executed, got {words[0]!r}; "
            f"give its path, or make it executable"
        )
    rest = (os.path.abspath(word) if _is_path(word) else word for word in words[1:])
    return (os.path.abspath(program), *rest)


def _is_path(word: str) -> bool:
    """Whether a word names a file or a folder seen from here."""
    return "{" not in word and not os.path.isabs(word) and os.path.exists(word)


def _where(kept: Path | None) -> str:
    return "" if kept is None else f"\nits folder is kept in {kept} on {os.uname().nodename}"
