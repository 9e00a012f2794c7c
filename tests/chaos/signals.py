"""Every command and every signal. ``python -m tests.chaos.signals`` sends each signal to each
command at random moments, and prints what was not as it should be.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from esengine.launch.settings.flags import parse_process
from tests.support.processes import MARK, wait_for_the_end
from tests.support.words import words

LIMIT_S = 2.0  # from the signal to the end
_SLOWEST_S = 30.0
_LONGEST_DELAY_S = 4.0

COMMANDS = {
    "train, one process": words("train openai-es --env-id Pendulum-v1 --ranks 1 --run-dir new"),
    "train, local ranks": words("train cma-es --env-id CartPole-v1 --ranks 2 --run-dir new"),
    "resume": words("resume run --ranks 2 --generations 100000"),
    "evaluate": words("evaluate run --ranks 2 --episodes 100000 --json new.json"),
    "collect": words("collect --policy run --ranks 2 --episodes 20000 --out new.npz"),
    "failures": words("failures run --ranks 1 --episodes 20000 --json new.json"),
    "replay": words("replay run --generation 2 --member 1"),
    "watch": words("watch waiting"),
    "plot": words("plot run --out new.png"),
    "report": words("report run --out new.html"),
    "render": words("render run --seconds 0 --episodes 40 --out new.gif"),
    "export": words("export run --format torch --out new.safetensors"),
    "rewards": words("rewards learned learned --demonstrations demos.npz"),
    "demos inspect": words("demos inspect demos.npz"),
    "demos convert": words("demos convert demos.npz --out new.npz"),
    "submit": words("submit --dry-run -- train cma-es --env-id CartPole-v1 --run-dir new"),
    "status": words("status run"),
    "cancel": words("cancel run"),
    "doctor": ["doctor"],
    "bench": words("bench kernels"),
}
"""What is started, in a folder with a finished ``run``, a ``waiting`` one and ``demos.npz``."""

SIGNALS = ("TERM", "INT", "INT twice", "HUP", "pipe closed")
_OTHERWISE = {"cancel": 2}  # what commands end with that no signal stops: the run is of no job
_OWN = ("new", "run/")  # what a command was asked for
_SILENT = ("watch", "evaluate", "collect", "failures", "render")  # print nothing for long
_BEGUN = {"train, one process": "new", "train, local ranks": "new", "resume": "run"}
"""Commands that stop with 75 as soon as this run has a record."""


@dataclass(frozen=True)
class SignalSettings:
    """Send each signal to each command."""

    tries: int = 3
    """Moments of each pair."""
    seed: int = 0
    """Of the moments."""
    only: tuple[str, ...] = ()
    """Commands of these names only."""


def prepare(folder: Path, rewards: bool = True) -> None:
    """Make the files that the commands work on; without ``rewards`` not what `rewards` needs."""
    train = words("train openai-es --env-id Pendulum-v1 --population-size 8 --ranks 1 --quiet")
    run = [*train, *words("--generations 3 --final-episodes 2 --run-dir")]
    collect = words("collect --policy run --episodes 60 --ranks 1 --out demos.npz")
    learn = words("train airl --demonstrations demos.npz --generations 1 --ranks 1 --quiet")
    made = [[*run, "run"], collect]
    if rewards:
        made.append([*learn, *words("--final-episodes 1 --run-dir learned")])
    for arguments in made:
        subprocess.run(_program(arguments), cwd=folder, check=True)
    (folder / "waiting").mkdir()
    record = (folder / "run" / "config.json").read_text()
    (folder / "waiting" / "config.json").write_text(record)


def disturb(folder: Path, name: str, what: str, delay_s: float, limit_s: float = LIMIT_S) -> str:
    """Start a command in a folder of its own, disturb it after ``delay_s``, and return what is
    wrong, or nothing.
    """
    before = _files(folder)
    mark = f"mark-{uuid.uuid4()}"
    process = subprocess.Popen(
        _program(COMMANDS[name]),
        cwd=folder,
        env={**os.environ, MARK: mark},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    time.sleep(delay_s)
    if what == "pipe closed":
        process.stdout.close()
    for _ in range(2 if what == "INT twice" else 1):
        if what != "pipe closed":
            process.send_signal(signal.Signals[f"SIG{what.split()[0]}"])
            time.sleep(0.05)

    faults = _faults_of_end(process, name, what, limit_s)
    faults += _faults_of_status(process.returncode, name, folder)
    left = wait_for_the_end(mark)
    if left:
        faults.append(f"{len(left)} processes left")
    strays = {file for file in _files(folder) - before if not file.startswith(_OWN)}
    return "; ".join(faults + [f"left {sorted(strays)}"] * bool(strays))


def _faults_of_end(
    process: subprocess.Popen[bytes], name: str, what: str, limit_s: float
) -> list[str]:
    """Wait for the end of a disturbed command."""
    began = time.monotonic()
    is_silent = what == "pipe closed" and name in _SILENT
    try:
        process.wait(1.0 if is_silent else _SLOWEST_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM if is_silent else signal.SIGKILL)
        process.wait(_SLOWEST_S)
        if not is_silent:
            return [f"goes on after {_SLOWEST_S:g} s"]

    took_s = time.monotonic() - began
    assert process.stderr is not None
    errors = process.stderr.read().decode(errors="replace")
    faults = []
    if took_s > limit_s and what != "pipe closed":
        faults.append(f"ended after {took_s:.1f} s")
    if "Traceback" in errors or "Error" in errors:
        faults.append(errors[-300:])
    return faults


def _faults_of_status(status: int, name: str, folder: Path) -> list[str]:
    """Whether a command ended in order, or by the signal before it handled signals."""
    begun = name in _BEGUN and (folder / _BEGUN[name] / "config.json").exists()
    before_it_began = [-number for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)]
    is_right = status in (_OTHERWISE.get(name, 0), 75 if begun else 1, *before_it_began)
    return [] if is_right else [f"status {status}"]


def _files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


def _program(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "esengine", *arguments]


def main() -> None:
    """Disturb, print what is wrong, write the table; the exit status says whether all was well."""
    settings = parse_process(SignalSettings)
    for number in (signal.SIGINT, signal.SIGHUP):  # a job in the background ignores them
        signal.signal(number, signal.SIG_DFL)
    dice = random.Random(settings.seed)
    tries = Counter[str]()
    faults = 0
    with tempfile.TemporaryDirectory(prefix="esengine-signals-") as root:
        made = Path(root) / "made"
        made.mkdir()
        prepare(made)
        for name in settings.only or COMMANDS:
            for what in SIGNALS:
                for _ in range(settings.tries):
                    folder = Path(root) / "try"
                    shutil.copytree(made, folder)
                    delay_s = dice.uniform(0.0, _LONGEST_DELAY_S)
                    fault = disturb(folder, name, what, delay_s)
                    shutil.rmtree(folder)
                    tries[what] += 1
                    faults += bool(fault)
                    if fault:
                        print(f"{name}, {what} after {delay_s:.2f} s: {fault}", flush=True)
    print(f"{tries.total()} tries, {faults} faults: {dict(tries)}")
    raise SystemExit(int(faults > 0))


if __name__ == "__main__":
    main()
