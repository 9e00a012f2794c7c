"""Environments of the other packages, one a requirements file, and how a measuring program is run
in its own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers.cases import OURS, Program
from esengine.launch.mpirun.local_ranks import environment_of_ranks, find_mpirun, options_of_mpirun

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TIMEOUT_S = 120.0
_GRACE_S = 5.0


class PeerError(Exception):
    """Why a package could not be installed or measured, in one line without this machine's
    paths.
    """


@dataclass
class Environments:
    """Builds an environment when it is first asked for.

    Args:
        folder: where they are kept; one whose requirements have not changed is used again.
        requirements: folder of the requirements files.
    """

    folder: Path = HERE / ".envs"
    requirements: Path = HERE / "requirements"
    _pythons: dict[str, str | PeerError] = field(default_factory=dict)

    def python(self, name: str) -> str:
        """The interpreter of an environment.

        Raises:
            PeerError: the packages could not be installed; the same again for every later program.
        """
        if name == OURS:
            return sys.executable
        if name not in self._pythons:
            try:
                self._pythons[name] = self._build(name)
            except PeerError as error:
                self._pythons[name] = error
        found = self._pythons[name]
        if isinstance(found, PeerError):
            raise found
        return found

    def _build(self, name: str) -> str:
        wanted = self.requirements / f"{name}.txt"
        digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
        home = self.folder / name
        stamp, python = home / "installed", str(home / "bin" / "python")
        if stamp.exists() and stamp.read_text() == digest:
            return python
        print(f"installing {name}", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "--quiet",
            "--disable-pip-version-check",
        ]
        make = [sys.executable, "-m", "venv", "--without-pip", str(home)]
        for command in (make, [*pip, "install", "--requirement", str(wanted)]):
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode:
                raise PeerError("cannot be installed: " + shown(result.stderr or result.stdout))
        stamp.write_text(digest)
        return python

    def measure(self, program: Program, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        """Run a program and return the object that it prints.

        Raises:
            PeerError: it could not be installed, failed, printed no figure or took too long.
        """
        command = [self.python(program.environment), "-m"]
        if program.runner is not None:
            command += [program.runner, "-m"]
        command += [f"benchmarks.peers.measure.{program.module}", *program.arguments]
        if program.ranks:
            mpirun = find_mpirun()
            command = [mpirun, *options_of_mpirun(mpirun, program.ranks), *command]
        return figure_of(command, partial(_confine, program), timeout_s)


def _confine(program: Program) -> None:
    """In the child: what the program may use."""
    if program.memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (program.memory_bytes, program.memory_bytes))
    if program.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def figure_of(
    command: list[str], prepare: Callable[[], None] | None = None, timeout_s: float = TIMEOUT_S
) -> dict[str, Any]:
    """Run a command in a group of its own, one thread a process, and return the object in its last
    line that holds one.

    Args:
        command: the program and its arguments.
        prepare: called in the child.
        timeout_s: seconds that it may take.

    Raises:
        PeerError: it failed, printed no figure or took too long; the whole group has ended.
    """
    environment = environment_of_ranks() | {"PYTHONPATH": str(ROOT), "PYTHONNOUSERSITE": "1"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        preexec_fn=prepare,
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise PeerError(f"took more than {timeout_s:g} s") from None
    finally:  # also after Ctrl-C, and for what a program leaves behind
        _end_group(process)
    if process.returncode:
        raise PeerError(shown(errors or output) or f"exit status {process.returncode}")
    for line in reversed(output.splitlines()):
        if line.startswith('{"value"'):
            figure: dict[str, Any] = json.loads(line)
            return figure
    raise PeerError("printed no figure")


def _end_group(process: subprocess.Popen[str]) -> None:
    """Let a running program end, as mpirun does in order, then kill what is left of its group."""
    with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
        if process.poll() is None:
            process.terminate()
            process.wait(_GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def shown(text: str) -> str:
    """The last line that says something, without addresses, folders and colours, short enough for a
    table.
    """
    lines = [
        line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", text).replace("\0", "").splitlines()
    ]
    lines = [line for line in lines if re.search(r"\w{3}", line)]
    errors = [
        line for line in lines if re.match(r"[\w.]*(Error|Exception|ERROR)\b", line)
    ] or lines[-1:]
    if not errors:
        return ""
    line = re.sub(r"\w+://\S+", "(address)", errors[-1])
    line = re.sub(r"(?<![\w.])/(?:[^\s/'\":]+/)+", "", line)
    return line if len(line) <= 200 else line[:197] + "..."
