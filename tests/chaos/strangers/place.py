"""The folder of a case: commands that are run in it, and what is looked at afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import REPOSITORY

MODULES = Path(__file__).parent / "modules"
LIMIT_S = 60.0  # of a command

ENV = (
    "truncation-es --population-size 8 --generations 2 --final-episodes 2 --eval-every 0 "
    "--elite-candidates 2 --elite-episodes 2 --hidden-sizes 4 --run-dir RUN"
)
"""A small search in an environment."""
POINT = "cma-es --population-size 8 --generations 2 --dimension 3 --minimize --run-dir RUN"
"""A small search for the best point of an objective."""
TRUST = "--trust-modules --ranks 1"


class Wrong(Exception):
    """A case is not as it should be."""


def must(holds: object, what: str) -> None:
    """Raises Wrong, with these words, for what does not hold."""
    if not holds:
        raise Wrong(what)


class Result(NamedTuple):
    """How a command ended; runs of white space in what it printed are single spaces."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return f"{self.out} {self.err}"


class Place:
    """The folder of one case.

    Args:
        name: of the case, which its processes have among their variables.
        folder: where commands are run; it is made.

    Attributes:
        log: what the commands printed.
        may_trace: whether a command may print a traceback, as of user code.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []
        self.may_trace = False
        self._mark = f"CASE={name}"
        folder.mkdir()

    def variables(self, **more: str) -> dict[str, str]:
        """The environment of a command."""
        path = [os.environ.get("PYTHONPATH", str(REPOSITORY)), str(MODULES)]
        name, _, value = self._mark.partition("=")
        own = {
            name: value,
            "CASE_FOLDER": str(self.folder),
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(path),
        }
        return os.environ | own | more

    def start(self, command: str, **variables: str) -> subprocess.Popen[str]:
        """Start a command of esengine."""
        return subprocess.Popen(
            [sys.executable, "-m", "esengine", *command.split()],
            cwd=self.folder,
            env=self.variables(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str], limit_s: float = LIMIT_S) -> Result:
        """Wait for a command. Raises Wrong for a hang, and for a traceback."""
        is_late = False
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            is_late = True
            self.end_left()
            out, err = process.communicate()

        out, err = out or "", err or ""
        arguments = process.args
        assert isinstance(arguments, list)
        self.log += [f"$ {' '.join(map(str, arguments[2:]))}", out[-2000:], err[-4000:]]
        must(not is_late, f"a command takes longer than {limit_s:g} s")
        must(self.may_trace or "Traceback" not in out + err, "a traceback")
        return Result(process.returncode, " ".join(out.split()), " ".join(err.split()))

    def run(self, command: str, **variables: str) -> Result:
        """Run a command of esengine."""
        return self.finish(self.start(command, **variables))

    def well(self, command: str, **variables: str) -> Result:
        """Run a command that must succeed."""
        result = self.run(command, **variables)
        must(result.status == 0, f"exit status {result.status} of {command.split()[0]}")
        return result

    def refused(self, command: str, *words: str, **variables: str) -> Result:
        """Run a command that must be refused, with these words in its message."""
        result = self.run(command, **variables)
        must(result.status == 2, f"exit status {result.status} instead of 2")
        for word in words:
            must(word in result.err, f"no {word!r} in the message")
        return result

    def same_with(self, command: str, **variables: str) -> None:
        """Run a command twice, the second time with these variables; the policies must be the same
        bytes.
        """
        self.well(command)
        policy = self.policy()
        shutil.rmtree(self.folder / "RUN")
        self.well(command, **variables)
        must(self.policy() == policy, "another policy")

    def write(self, name: str, text: str) -> None:
        """Write a file, and its folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def text(self, name: str) -> str:
        """The text of a file, or nothing where there is none."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def json(self, name: str) -> Any:
        """The value in a JSON file."""
        must((self.folder / name).exists(), f"no {name}")
        return json.loads(self.text(name))

    def policy(self) -> bytes:
        """The bytes of the run's policy."""
        path = self.folder / "RUN" / "policy.safetensors"
        must(path.exists(), "no policy")
        return path.read_bytes()

    def all_closed(self) -> None:
        """Raises Wrong unless environments of `strange.Noted` were closed as often as opened."""
        notes = [line.split()[0] for line in self.text("notes.txt").splitlines()]
        opened = notes.count("open")
        closed = notes.count("close")
        must(opened == closed > 0, f"{opened} environments opened, {closed} closed")

    def left(self) -> list[int]:
        """The processes of this case that are alive."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                is_own = self._mark.encode() in (path / "environ").read_bytes().split(b"\0")
                state = (path / "stat").read_text().rpartition(")")[2].split()[0]
                if is_own and state != "Z":
                    found.append(int(path.name))
        return found

    def end_left(self) -> None:
        """Kill these processes."""
        for process in self.left():
            with suppress(OSError):
                os.kill(process, signal.SIGKILL)

    def wait_for(self, pattern: str, limit_s: float = 40.0) -> None:
        """Wait until a file of this pattern exists. Raises Wrong after some time."""
        until = time.monotonic() + limit_s
        while not list(self.folder.glob(pattern)):
            must(time.monotonic() < until, f"no {pattern}")
            time.sleep(0.2)


class Case(NamedTuple):
    """A case: its topic and name, what should come of it, and how it is played."""

    topic: str
    name: str
    should: str
    play: Callable[[Place], None]


CASES: list[Case] = []


def case(should: str) -> Callable[[Callable[[Place], None]], Callable[[Place], None]]:
    """Add a function to the cases."""

    def add(play: Callable[[Place], None]) -> Callable[[Place], None]:
        topic = play.__module__.rpartition(".")[2]
        CASES.append(Case(topic, play.__name__, should, play))
        return play

    return add
