"""Launches of one's own: mpirun as a user types it, and several command lines on the ranks of one
launch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from esengine.launch.mpirun.local_ranks import environment_of_ranks, find_mpirun
from esengine.ranks.shared_folder import ROOT
from tests.conftest import SUPPORT
from tests.support.words import words

TOLERANT = ("--with-ft", "ulfm")
Command = Sequence[str | Path]


def mpirun(num_ranks: int, *options: str) -> list[str]:
    """The words before a program's own."""
    return [
        find_mpirun(),
        *options,
        *words("--bind-to none --map-by :OVERSUBSCRIBE -n"),
        str(num_ranks),
        sys.executable,
    ]


def variables() -> dict[str, str]:
    """The environment of a launch: the support modules importable, MPI's segments where tests look
    for leftovers.
    """
    environment = environment_of_ranks()
    path = os.pathsep.join([str(SUPPORT), environment["PYTHONPATH"]])
    return {**environment, "PYTHONPATH": path, "OMPI_MCA_btl_sm_backing_directory": str(ROOT)}


def under_mpirun(
    num_ranks: int, folder: Path, *command: str | Path, **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a Python program, or ``-m module``, on ranks in ``folder``; ``more`` goes into its
    environment.
    """
    words = [*mpirun(num_ranks), *map(str, command)]
    return subprocess.run(
        words,
        cwd=folder,
        env=variables() | more,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )


def run_all(commands: Sequence[Command], workers: int, folder: Path) -> None:
    """Run command lines of esengine one after the other on a master and workers; a launch costs
    more than a small run.

    Args:
        commands: what comes after ``esengine``, each.
        workers: their number.
        folder: where they run.
    """
    words = [*mpirun(workers + 1, *TOLERANT), *several(commands, folder)]
    result = subprocess.run(
        words,
        cwd=folder,
        env=variables(),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def several(commands: Sequence[Command], folder: Path) -> list[str]:
    """What Python has to run on every rank for that; writes a file into ``folder``."""
    listing = folder / "commands.json"
    listing.write_text(json.dumps([[str(word) for word in command] for command in commands]))
    return ["-m", "several", str(listing)]
