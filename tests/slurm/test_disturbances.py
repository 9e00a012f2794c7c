"""Whatever ends a start early, the job goes on by itself and ends in the bytes of a run that nothing disturbed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.mpi.test_ranks import same_run
from tests.slurm.conftest import User

pytestmark = pytest.mark.disturbance

SEARCH = ("train", "cma-es", "--objective", "worlds:slow_sphere", "--dimension", "3", "--minimize")
SIZE = ("--population-size", "40", "--generations", "40", "--checkpoint-every", "2")
RESOURCES = ("--nodes", "2", "--ntasks-per-node", "1")


@pytest.fixture
def undisturbed(esengine: Run, tmp_path: Path) -> Path:
    assert esengine(*SEARCH, *SIZE, "--ranks", "8", "--quiet", "--run-dir", "undisturbed").returncode == 0
    return tmp_path / "undisturbed"


def starts(run: Path) -> int:
    return len(json.loads((run / "config.json").read_text())["starts"])


def check(user: User, undisturbed: Path, job: str, name: str) -> None:
    """The job ends by itself, after more than one start, with the undisturbed bytes."""
    assert user.wait_for_end(job) == ["COMPLETED"], user.logs()
    assert starts(user.folder / name) > 1
    same_run(undisturbed, user.folder / name)


def test_limits_cancellation_requeue_and_preemption(user: User, undisturbed: Path) -> None:
    def submit(name: str, *flags: str) -> str:
        return user.submit(*RESOURCES, *flags, "--", *SEARCH, *SIZE, "--run-dir", name)

    limited = submit("limited", "--time", "1", "--stop-before", "40")
    requeued, cancelled = submit("requeued"), submit("cancelled")
    user.wait_for_rows("requeued", 3, requeued)
    user.output("scontrol", "requeue", requeued)
    user.wait_for_rows("cancelled", 3, cancelled)
    assert "keeps a checkpoint" in user.output("esengine", "cancel", "cancelled")
    assert user.wait_for_end(cancelled) == ["CANCELLED"]
    assert any((user.folder / "cancelled" / "checkpoints").iterdir())
    resumed = user.submit(*RESOURCES, "--", "resume", "cancelled", "--trust-modules")
    preempted = submit("preempted")
    user.wait_for_rows("preempted", 3, preempted)
    urgent = user.output("sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1").strip()
    user.wait_for_end(urgent)
    for job, name in ((limited, "limited"), (requeued, "requeued"), (resumed, "cancelled"), (preempted, "preempted")):
        check(user, undisturbed, job, name)
    log = (user.folder / "limited" / "slurm" / f"{limited}.log").read_text()
    assert "the job goes back into the queue" in log


def test_crashed_nodes(user: User, undisturbed: Path) -> None:
    first, second = user.cluster.nodes
    job = user.submit("--nodes", "1-2", "--ntasks-per-node", "2", "--", *SEARCH, *SIZE, "--run-dir", "run")
    for crashed, count in ((second, 4), (first, 8)):  # first the one without the batch script, then the one with it
        user.wait_for_rows("run", count, job)
        before = starts(user.folder / "run")
        user.cluster.crash(crashed)
        user.output("scontrol", "update", f"nodename={crashed}", "state=down", "reason=crashed")
        user.wait(job, lambda state: starts(user.folder / "run") > before, "another start")  # noqa: B023
        user.cluster.boot(crashed)
    check(user, undisturbed, job, "run")
    ranks = [start["ranks"] for start in json.loads((user.folder / "run" / "config.json").read_text())["starts"]]
    assert ranks == [5, 3, 3]  # two workers a node, and the master
