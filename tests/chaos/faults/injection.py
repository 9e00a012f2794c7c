"""Runs a command many times in forked children of a process that has all modules and kernels, each
time with another system call that fails.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import NamedTuple

from esengine.launch import cli
from tests.chaos.faults.scenarios import Scenario, Words
from tests.conftest import SUPPORT

MODES = ("EIO", "ENOSPC from then on", "SIGKILL", "half a write")
_CODES = {"EIO": errno.EIO, "ENOSPC from then on": errno.ENOSPC, "SIGKILL": 0, "half a write": -1}
_LIBRARY = "ESENGINE_INJECTOR"
_PATIENCE_S = 60.0
_STRAYS = (".aside-*", ".0*", ".replaced*", ".tmp*", ".*.npz.*")


class Ended(NamedTuple):
    """How a child ended: its exit status, negative for a signal, None for a hang; what it printed;
    and its number of system calls on the files of its folder.
    """

    status: int | None
    errors: str
    num_calls: int


def preloaded() -> None:
    """Begin this program again with the injector loaded, which it builds, unless it has it."""
    if _LIBRARY in os.environ:
        return
    with tempfile.TemporaryDirectory(prefix="esengine-injector-") as folder:
        library = Path(folder) / "injector.so"
        source = Path(__file__).with_name("injector.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        environment = {
            **os.environ,
            _LIBRARY: str(library),
            "LD_PRELOAD": str(library),
            "OMP_NUM_THREADS": "1",
        }
        raise SystemExit(subprocess.run(sys.orig_argv, env=environment, check=False).returncode)


class Injection:
    """The disturbed runs of one scenario, beside an undisturbed one.

    Attributes:
        num_calls: system calls of the undisturbed command on the files of its folder.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._injector = ctypes.CDLL(os.environ[_LIBRARY])
        self._root = Path(tempfile.mkdtemp(prefix="esengine-faults-"))
        self._made = self._root / "made"
        self._reference = self._root / "reference"
        if str(SUPPORT) not in sys.path:
            sys.path.insert(0, str(SUPPORT))

        self._made.mkdir()
        for command in scenario.before:
            assert self._run(self._made, command).status == 0
        shutil.copytree(self._made, self._reference)
        with contextlib.chdir(self._reference):  # compiles and imports for all children
            assert cli.main(list(scenario.command)) == 0
        shutil.rmtree(self._reference)
        shutil.copytree(self._made, self._reference)
        ended = self._run(self._reference, scenario.command, 1 << 30, errno.EIO)
        assert ended.status == 0, ended.errors
        self.num_calls = ended.num_calls

    def __enter__(self) -> Injection:
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self._root)

    def disturb(self, number: int, mode: str) -> str:
        """Disturb the ``number``-th call, go on, and return what is wrong, or nothing."""
        folder = self._root / "disturbed"
        shutil.copytree(self._made, folder)
        try:
            old = self._old_file(folder)
            ended = self._run(folder, self._scenario.command, number, _CODES[mode], "from" in mode)
            if ended.status is None:
                return "it hangs"
            if "Traceback" in ended.errors or "Exception ignored" in ended.errors:
                return f"a traceback: {ended.errors[-600:]}"
            if ended.status not in (0, 1, 2, 75, -signal.SIGKILL):
                return f"status {ended.status}: {ended.errors[-300:]}"
            if ended.status in (1, 2) and len(ended.errors.splitlines()) > 3:
                return f"many words: {ended.errors[-600:]}"
            if old is not None and ended.status and not self._is_old_or_whole(old):
                return "the old file is gone"
            if ended.status != -signal.SIGKILL and self._scenario.out and _strays(folder):
                return f"left {_strays(folder)}"
            return self._go_on(folder)
        finally:
            shutil.rmtree(folder)

    def _old_file(self, folder: Path) -> Path | None:
        if self._scenario.out is None:
            return None
        (folder / self._scenario.out).write_bytes(b"old")
        return folder / self._scenario.out

    def _is_old_or_whole(self, out: Path) -> bool:
        """A folder that cannot be flushed is told after the new file has its name."""
        if out.read_bytes() == b"old":
            return True
        return out.stat().st_size == (self._reference / out.name).stat().st_size

    def _go_on(self, folder: Path) -> str:
        command = self._scenario.go_on(folder)
        again = self._run(folder, command)
        if again.status != 0:
            return f"{command[0]} afterwards gives {again.status}: {again.errors[-600:]}"
        strays = [] if self._scenario.out else _strays(folder)
        if strays:
            return f"after the next start there is {strays}"
        try:
            self._scenario.check(self._reference, folder)
        except (AssertionError, OSError) as error:
            return f"another result: {str(error)[:300]}"
        return ""

    def _run(
        self, folder: Path, command: Words, number: int = 0, code: int = 0, later: bool = False
    ) -> Ended:
        """Run a command in a forked child, whose ``number``-th call fails."""
        said, counted = self._root / "said", self._root / "counted"
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.setsid()
                os.chdir(folder)
                descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(descriptor, 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                if number:
                    self._injector.injector_arm(os.fsencode(folder), number, code, int(later))
                warnings.formatwarning = cli._warn  # as the process does
                status = cli.main(list(command))
            except SystemExit as error:
                status = error.code if isinstance(error.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                calls = self._injector.injector_count()
                self._injector.injector_arm(b"", 0, 0, 0)
                sys.stderr.flush()
                counted.write_text(str(calls))
                os._exit(status)
        status_or_none = _wait(pid)
        calls = int(counted.read_text()) if counted.exists() else 0
        return Ended(status_or_none, said.read_text(), calls)


def _wait(pid: int) -> int | None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _strays(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for part in _STRAYS for path in folder.rglob(part))
