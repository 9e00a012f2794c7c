"""``python -m tests.mpis``: what a run keeps under each MPI. Writes the table of
``docs/platforms.md``.

Runs as root, in mounts of its own: whatever is left in ``/dev/shm`` and ``/tmp`` is of the runs.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from esengine.launch.settings.flags import parse_process
from tests.chaos.scenarios import (
    TIMEOUT_S,
    Run,
    kill_all,
    kill_launcher,
    kill_master,
    kill_workers,
    reference,
    same_result,
)
from tests.chaos.table import write_table
from tests.chaos.tasks import TASKS
from tests.conftest import REPOSITORY, SUPPORT
from tests.mpis.environments import ENVIRONMENTS, Environment
from tests.slurm.conftest import User
from tests.support.processes import MARK
from tests.support.slurm import SlurmCluster, missing
from tests.support.words import words

METHODS = ("objective", "environment", "dagger")
_DISTURBED = "long objective"
_RANKS = 3
_OF_MPIEXEC = "/tmp/hydra_hwloc_xmlfile_"  # which MPICH's launcher leaves when it is killed
_OF_TORCH = (
    "/tmp/torchinductor_"  # an empty folder for each user, once, which torch makes by itself
)
RESULTS = Path(__file__).parent / "results.json"


def _send(*numbers: signal.Signals) -> Callable[[Run], None]:
    def send(run: Run) -> None:
        for number in numbers:
            run.process.send_signal(number)
            time.sleep(0.5)

    return send


DISTURBANCES: dict[str, Callable[[Run], None]] = {
    "a worker killed": lambda run: kill_workers(run, 1),
    "the master killed": kill_master,
    "the launcher killed": kill_launcher,
    "everything killed": kill_all,
    "SIGTERM": _send(signal.SIGTERM),
    "SIGINT twice": _send(signal.SIGINT, signal.SIGINT),
    "SIGUSR1": _send(signal.SIGUSR1),
}


@dataclass(frozen=True)
class MpiSettings:
    """Try every MPI."""

    only: tuple[str, ...] = ()
    """Environments of these names only; the others keep their columns of the table."""
    cells: tuple[str, ...] = ()
    """Lines of the table to try; the others keep what they say."""
    environments: Path = REPOSITORY / "build" / "mpis"
    """The folder in which environments are made, and kept."""


class Trial:
    """The tries of one environment.

    Args:
        environment: it.
        folder: an empty folder to work in.
        references: the folder of each task's undisturbed run.
        cluster: with one node, or why there is none.
    """

    def __init__(
        self, environment: Environment, folder: Path, references: Path, cluster: SlurmCluster | str
    ) -> None:
        self._environment, self._folder, self._references = environment, folder, references
        self._cluster = cluster

    def cells(self) -> dict[str, Callable[[], str]]:
        """What is tried, and how to try it."""
        return {
            "one worker": partial(self._all_methods, partial(self._train, ranks=1)),
            "three workers": partial(self._all_methods, partial(self._train, ranks=_RANKS)),
            "its own mpirun": partial(self._all_methods, self._under_mpirun),
            **{what: partial(self._disturbed, one) for what, one in DISTURBANCES.items()},
            "`submit`, mpirun": partial(self._submitted, "mpirun"),
            "`submit`, srun": partial(self._submitted, "srun"),
        }

    def _submitted(self, launcher: str) -> str:
        """Whether a job of the cluster gives the same bytes and leaves nothing on its node."""
        cluster = self._cluster
        if isinstance(cluster, str):
            return f"not tried: {cluster}"

        def play(run: Run, task: str) -> None:
            path = os.pathsep.join([str(SUPPORT), str(REPOSITORY)])
            own = {"PYTHONPATH": path, MARK: run.mark, **self._environment.variables}
            user = User(cluster, run.folder, own)
            program = (self._environment.python, "-P", "-m", "esengine", "submit")
            resources = ("--ntasks-per-node", str(_RANKS + 1), "--launcher", launcher)
            train = (*TASKS[task], "--run-dir", "run")
            before = _kept_on_node(cluster)
            said = user.output(*program, *resources, "--", *train)
            states = user.wait_for_end(said.split(",")[0].split()[-1], TIMEOUT_S)
            assert states == ["COMPLETED"], f"{states}: {user.logs()[-300:]}"
            left = _kept_on_node(cluster) - before
            assert not left, f"left {sorted(left)[:3]} on the node"
            run.start("status", "run")

        return self._all_methods(play)

    def _disturbed(self, disturb: Callable[[Run], None]) -> str:
        """The status after a disturbance, and what is wrong after resumes."""

        def play(run: Run, task: str) -> str:
            self._train(run, task, _RANKS, 3)
            disturb(run)
            status, _ = run.end()
            if status:
                run.start("resume", "run", "--trust-modules", "--quiet", "--ranks", str(_RANKS))
                run.finish(_RANKS)
            return "goes on" if status == 0 else f"ends with {status}"

        return self._play(_DISTURBED, play)

    def _all_methods(self, play: Callable[[Run, str], str | None]) -> str:
        found = [self._play(task, play) for task in METHODS]
        wrong = [text for text in found if text != "same"]
        return "; ".join(wrong) or "same"

    def _play(self, task: str, play: Callable[[Run, str], str | None]) -> str:
        before = _kept()
        folder = self._folder / "try"
        folder.mkdir()
        environment = self._environment
        run = Run(folder, random.Random(0), str(environment.python), environment.variables)
        try:
            said = play(run, task)
            if said is None:
                run.finish(_RANKS)
            same_result(self._references / task / "run", run.path)
        except AssertionError as error:
            return f"**{task}: {str(error) or 'another result'}**".replace("\n", " ")[:200]
        finally:
            shutil.rmtree(folder)
        left = _kept() - before
        if any(_OF_MPIEXEC not in path for path in left):
            return f"**left {sorted(left)[:3]}**"
        if left:
            return f"{said}, `{_OF_MPIEXEC}*` stays"
        return said or "same"

    def _train(self, run: Run, task: str, ranks: int, generation: int = 0) -> None:
        arguments = (*TASKS[task], "--ranks", str(ranks), "--run-dir", "run")
        run.start(*arguments)
        if generation:
            run.wait_for_generation(generation)

    def _under_mpirun(self, run: Run, task: str) -> None:
        environment = self._environment
        program = (str(environment.python), "-P", "-m", "esengine")
        subprocess.run(
            [
                *(*environment.mpirun, "-n", str(_RANKS + 1), *program),
                *(*TASKS[task], "--run-dir", "run"),
            ],
            cwd=run.folder,
            env={**os.environ, "PYTHONPATH": str(SUPPORT), MARK: run.mark, **environment.variables},
            capture_output=True,
            check=False,
        )
        run.start("status", "run")


def main() -> None:
    """Try, print, and write the table; the exit status says whether all bytes were the same."""
    settings = parse_process(MpiSettings)
    _mount_own()
    names = [name for name in ENVIRONMENTS if not settings.only or name in settings.only]
    results: dict[str, dict[str, str]] = json.loads(RESULTS.read_text())
    with (
        tempfile.TemporaryDirectory(prefix="mpis-", dir="/var/tmp") as root,
        _cluster(Path(root) / "cluster") as cluster,
    ):
        references = Path(root) / "references"
        for task in (*METHODS, _DISTURBED):
            (references / task).mkdir(parents=True)
            reference(references / task, task)
        for name in names:
            folder = settings.environments / name.split(" (")[0].replace(" ", "-")
            environment = ENVIRONMENTS[name](folder)
            results[name] = {**results.get(name, {}), "library": environment.library()}
            for what, play in Trial(environment, Path(root), references, cluster).cells().items():
                if settings.cells and what not in settings.cells:
                    continue
                results[name][what] = play()
                print(f"{name}, {what}: {results[name][what]}", flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    _write(results)
    raise SystemExit(int("**" in RESULTS.read_text()))


def _write(results: dict[str, dict[str, str]]) -> None:
    """Write the table of all that was tried, a column for each MPI."""
    names = [name for name in ENVIRONMENTS if name in results]
    rows = [["", *names]]
    for what in results[names[0]]:
        rows.append([what, *(results[name].get(what, "not tried") for name in names)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---" * len(rows[0]) + "|")
    write_table("mpis", f"`make mpis`, {time.strftime('%Y-%m-%d')}:", lines, "platforms.md")


def _mount_own() -> None:
    """Let ``/dev/shm`` and ``/tmp`` be empty ones of this process and its children."""
    new_mounts = 0x20000
    if os.geteuid() or ctypes.CDLL(None, use_errno=True).unshare(new_mounts):
        raise SystemExit("python -m tests.mpis must be run by root, who may mount folders")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    for folder in ("/dev/shm", "/tmp"):
        subprocess.run(["mount", "-t", "tmpfs", "none", folder], check=True)


@contextmanager
def _cluster(folder: Path) -> Iterator[SlurmCluster | str]:
    """A Slurm cluster with one node, or why there is none."""
    reason = missing()
    if reason is not None:
        yield reason
        return
    folder.mkdir()
    cluster = SlurmCluster(folder, num_nodes=1)
    try:
        yield cluster
    finally:
        cluster.close()


def _kept_on_node(cluster: SlurmCluster) -> set[str]:
    """What is in the folders for temporary files of the cluster's node."""
    find = words("find /dev/shm /tmp -mindepth 1 -maxdepth 1")
    found = subprocess.run(
        cluster.on(cluster.nodes[0], cluster.folder, *find),
        capture_output=True,
        text=True,
        check=True,
    )
    return {path for path in found.stdout.splitlines() if not path.startswith(_OF_TORCH)}


def _kept() -> set[str]:
    """What is in the folders for temporary files."""
    paths = (str(path) for folder in ("/dev/shm", "/tmp") for path in Path(folder).iterdir())
    return {path for path in paths if not path.startswith(_OF_TORCH)}


if __name__ == "__main__":
    main()
