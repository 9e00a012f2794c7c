"""What can happen to a run, and what must come out of it: the undisturbed result, without a hang or
a stray process.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from esengine.launch.settings.seeds import seeds_of
from tests.chaos import births
from tests.chaos.births import disturbed
from tests.chaos.tasks import TASKS
from tests.conftest import REPOSITORY, SUPPORT
from tests.support import processes
from tests.support.processes import MARK

TIMEOUT_S = 600.0  # more than a run takes on a busy machine; a run that hangs hangs for ever


class Run:
    """A run that is started, disturbed, and gone on with until it is finished.

    Args:
        folder: an empty folder to work in; the run directory is ``run`` in it.
        dice: what happens when.
        python: the interpreter of its processes.
        variables: of their environment.

    Attributes:
        killed_inside: whether a kill left a checkpoint half written.
        num_disturbed: births of replacements that were disturbed.
    """

    def __init__(
        self,
        folder: Path,
        dice: random.Random,
        python: str = sys.executable,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.dice, self.mark = folder, dice, str(uuid.uuid4())
        self._python, self._variables = python, dict(variables or {})
        self.path = folder / "run"
        self.killed_inside = False
        self.num_disturbed = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self, *arguments: str, **variables: str) -> None:
        path = os.pathsep.join([str(SUPPORT), str(REPOSITORY)])  # the checkout under test
        own = {"PYTHONPATH": path, MARK: self.mark}
        environment = {**os.environ, **own, **self._variables, **variables}
        self._process = subprocess.Popen(
            [self._python, "-P", "-m", "esengine", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )

    def wait_for_generation(self, number: int) -> None:
        """Wait until a generation is told, or the run has ended."""
        deadline = time.monotonic() + TIMEOUT_S
        while self.process.poll() is None and self.generation() < number:
            assert time.monotonic() < deadline, "the run hangs"
            time.sleep(0.01)

    def generation(self) -> int:
        """The last generation that was told; of a set, by the run that is farthest."""
        rows = [path for run in runs_in(self.path) if (path := run / "metrics.jsonl").exists()]
        return max((path.read_text().count("\n") for path in rows), default=0)

    def pause(self, most_s: float = 0.3) -> None:
        time.sleep(self.dice.uniform(0, most_s))

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def end(self) -> tuple[int, str]:
        """Wait for the end; returns the exit status and what was said. Fails if a process is
        left.
        """
        try:
            _, errors = self.process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            processes.kill(processes.living(self.mark))
            raise AssertionError("the run hangs") from None
        left = processes.wait_for_the_end(self.mark)
        processes.kill(left)
        assert not left, "processes are left"
        return self.process.returncode, errors

    def finish(self, ranks: int) -> None:
        """Wait for the end, and resume until the run is done."""
        status, errors = self.end()
        for _ in range(5):
            if status == 0:
                return
            self.start("resume", "run", "--trust-modules", "--quiet", "--ranks", str(ranks))
            status, errors = self.end()
        raise AssertionError(f"the run ended with {status}: {errors}")


def kill_workers(run: Run, count: int = 2) -> None:
    for _ in range(count):
        run.pause()
        living = processes.workers(run.mark)
        if living:
            processes.kill([run.dice.choice(living).pid])


def kill_leaders(run: Run) -> None:
    """Of pretended nodes of two ranks: ranks 2 and 4 lead theirs; then the one that leads in place
    of 2.
    """
    for number in (2, 4, 3):
        run.pause()
        processes.kill(rank.pid for rank in processes.workers(run.mark) if rank.number == number)


def kill_master(run: Run) -> None:
    run.pause()
    processes.kill(rank.pid for rank in processes.ranks(run.mark) if rank.number == 0)


def kill_launcher(run: Run) -> None:
    run.pause()
    run.process.kill()


def kill_all(run: Run) -> None:
    run.pause(1.0)
    run.process.kill()
    processes.kill(processes.living(run.mark))


def kill_all_inside_a_checkpoint(run: Run) -> None:
    """As soon as a checkpoint's folder is seen before it has its name; at the latest when the run
    ends.
    """
    victims, folder = [run.process.pid, *processes.living(run.mark)], run.path / "checkpoints"

    def is_half_written() -> bool:
        return folder.exists() and any(name.startswith(".") for name in os.listdir(folder))

    while run.process.poll() is None and not is_half_written():
        pass
    processes.kill(victims)
    run.process.wait()
    processes.kill(processes.wait_for_the_end(run.mark, 1.0))
    run.killed_inside = is_half_written()


def fill_the_disk(run: Run) -> None:
    """No byte more, for a while."""
    run.pause()
    filler = run.folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1024))
    run.pause(1.0)
    filler.unlink()


def cut_newest_checkpoint(run: Run) -> None:
    kill_all(run)
    run.process.wait()
    processes.wait_for_the_end(run.mark)
    saved = sorted(
        path for path in (run.path / "checkpoints").glob("*") if not path.name.startswith(".")
    )
    if saved:
        file = saved[-1] / run.dice.choice(["state.safetensors", "state.json"])
        os.truncate(file, run.dice.randrange(file.stat().st_size))


def suspend_a_worker(run: Run) -> None:
    """A worker stands still for a while, as on a node that swaps."""
    run.pause()
    living = processes.workers(run.mark)
    if living:
        victim = run.dice.choice(living).pid
        processes.kill([victim], signal.SIGSTOP)
        run.pause(1.0)
        processes.kill([victim], signal.SIGCONT)


def kill_team_ranks(run: Run) -> None:
    """Ranks of teams, and at times the worker or the mpirun of a team."""
    for _ in range(3):
        run.pause(0.5)
        victims = processes.team_ranks(run.mark)
        if run.dice.random() < 0.3:
            victims = [rank.pid for rank in processes.workers(run.mark)]
        if victims:
            processes.kill([run.dice.choice(victims)])


def nothing(run: Run) -> None:
    """The task itself is what happens."""


@dataclass(frozen=True)
class Scenario:
    """One kind of disturbance.

    Attributes:
        name: what happens, for the table.
        tasks: what may be running.
        disturb: does it.
        variables: of the environment.
        ranks: workers.
        has_small_disk: whether it needs a `small_disk`.
        may_resume: whether the run may stop and be resumed.
    """

    name: str
    tasks: tuple[str, ...]
    disturb: Callable[[Run], None]
    variables: dict[str, str] = field(default_factory=dict)
    ranks: int = 3
    has_small_disk: bool = False
    may_resume: bool = True

    def play(self, folder: Path, task: str, dice: random.Random) -> Run:
        """Run a task under the disturbance. Raises AssertionError if it hangs, leaves a process or
        cannot be finished.
        """
        run = Run(folder, dice)
        run.start(*TASKS[task], "--ranks", str(self.ranks), "--run-dir", "run", **self.variables)
        if self.disturb is not nothing:
            run.wait_for_generation(dice.randrange(1, 6))
        self.disturb(run)
        if self.may_resume:
            run.finish(self.ranks)
        else:
            status, errors = run.end()
            assert status == 0, f"the run ended with {status}: {errors}"
        return run


_PLAIN = ("objective", "environment", "genomes")
_OVERLAPPED = ("set", "lag")
_REPERTOIRES = ("map-elites", "cma-me", "cma-mae")
_BORN = ("long objective", "dagger", "ppo")
_NODES = {"ESENGINE_RANKS_PER_NODE": "2"}
_REFUSED = {births.REFUSALS: "2"}
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("two workers killed", _PLAIN, kill_workers),
        Scenario("five workers killed", _PLAIN, lambda run: kill_workers(run, 5)),
        Scenario("the only worker killed", _PLAIN, lambda run: kill_workers(run, 1), {}, 1),
        Scenario("node leaders killed", _PLAIN, kill_leaders, {"ESENGINE_RANKS_PER_NODE": "2"}, 4),
        Scenario("the master killed, then resumed", _PLAIN, kill_master),
        Scenario("the launcher killed, then resumed", _PLAIN, kill_launcher),
        Scenario("everything killed, then resumed", _PLAIN, kill_all),
        Scenario(
            "everything killed inside a checkpoint's writing, then resumed",
            _PLAIN,
            kill_all_inside_a_checkpoint,
        ),
        Scenario(
            "everything killed and a checkpoint cut short, then resumed",
            _PLAIN,
            cut_newest_checkpoint,
        ),
        Scenario("a disk that is full for a while", _PLAIN, fill_the_disk, has_small_disk=True),
        Scenario("a worker suspended", _PLAIN, suspend_a_worker),
        Scenario("runs that share workers or have a lag", _OVERLAPPED, nothing),
        Scenario("workers killed that runs share or a lag fills", _OVERLAPPED, kill_workers),
        Scenario("everything killed that shares workers or has a lag", _OVERLAPPED, kill_all),
        Scenario("workers killed that fill an archive", _REPERTOIRES, kill_workers),
        Scenario("everything killed that fills an archive, then resumed", _REPERTOIRES, kill_all),
        Scenario("members that raise, and workers killed", ("raising",), kill_workers),
        Scenario(
            "members that are not a number, and workers killed", ("not a number",), kill_workers
        ),
        Scenario(
            "observations of wrong shape, and workers killed", ("wrong shapes",), kill_workers
        ),
        *(
            Scenario(name, _BORN, disturbed(what, leaders), variables, may_resume=False)
            for name, what, leaders, variables in (
                ("replacements killed at birth", births.killed, False, {}),
                ("replacements suspended at birth", births.suspended, False, {}),
                ("replacements refused", births.refused, False, _REFUSED),
                ("leading replacements killed at birth", births.killed, True, _NODES),
                ("leading replacements suspended at birth", births.suspended, True, _NODES),
                ("leading replacements refused", births.refused, True, _NODES | _REFUSED),
            )
        ),
        Scenario("ranks of teams killed", ("teams",), kill_team_ranks, {"PAUSE_S": "0.03"}, 2),
        Scenario("members that hang in C code", ("hanging",), nothing),
        Scenario("members that end their process", ("crashing",), nothing),
    )
}


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of two megabytes in a folder, which only this process and its children see; for
    root.
    """
    new_mounts = 0x20000
    if ctypes.CDLL(None, use_errno=True).unshare(new_mounts):
        raise OSError(ctypes.get_errno(), "unshare")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def runs_in(path: Path) -> list[Path]:
    """The run directories of a set, or the one run."""
    return sorted(path.glob("seed-*")) or [path]


def reference(folder: Path, task: str) -> None:
    """The undisturbed run: in one process where that is possible, and of a set each run alone."""
    words = list(TASKS[task])
    ranks = "2" if task in ("hanging", "crashing") else "1"
    alone = {"run": words}
    if "--seeds" in words:
        at = words.index("--seeds")
        rest = [*words[:at], *words[at + 2 :]]
        seeds = seeds_of(words[at + 1])
        alone = {f"run/seed-{seed}": [*rest, "--seed", str(seed)] for seed in seeds}
    for place, own in alone.items():
        run = Run(folder, random.Random(0))
        run.start(*own, "--ranks", ranks, "--run-dir", place)
        status, errors = run.end()
        assert status == 0, errors


def same_result(first: Path, second: Path) -> None:
    """Fails unless two finished runs, or sets of runs, hold the same results."""
    names = [[run.relative_to(path) for run in runs_in(path)] for path in (first, second)]
    assert names[0] == names[1]
    for name in names[0]:
        same_run(first / name, second / name)


def same_run(first: Path, second: Path) -> None:
    """Fails unless two finished runs hold the same rows, the same parameters and the same
    completion record.
    """
    for name in ("policy.safetensors", "archive.safetensors", "best.json", "done.json"):
        assert (first / name).exists() == (second / name).exists(), name
        if (first / name).exists():
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
    rows = [
        [
            {key: value for key, value in json.loads(line).items() if key != "machine"}
            for line in path.read_text().splitlines()
        ]
        for path in (first / "metrics.jsonl", second / "metrics.jsonl")
    ]
    assert rows[0] == rows[1]
