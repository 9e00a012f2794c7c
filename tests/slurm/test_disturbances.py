"""Whatever ends a start early, the job goes on by itself and ends in the bytes of a run that
nothing disturbed.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conftest import Run
from tests.slurm.conftest import User
from tests.support.runs import same_run
from tests.support.words import words

SEARCH = ("train", "cma-es", "--objective", "worlds:gated_sphere", "--dimension", "3", "--minimize")
SIZE = ("--population-size", "24", "--generations", "8", "--checkpoint-every", "1")
ON_TWO_NODES = ("--nodes", "2", "--ntasks-per-node", "1")
ON_WHAT_THERE_IS = ("--nodes", "1-2", "--ntasks-per-node", "2")
MEMBERS = 60  # two generations and a half


class Held:
    """A run whose members wait once so many have begun, so that it is in the middle of a generation
    when it is disturbed.
    """

    def __init__(self, user: User, name: str, resources: tuple[str, ...]) -> None:
        self.user, self.folder, self.resources = user, user.folder / name, resources
        self.gate = user.folder / f"{name}.gate"
        self.let(MEMBERS)
        self.submit(*SEARCH, *SIZE, "--run-dir", name)

    def submit(self, *command: str) -> None:
        self.job = self.user.submit(
            *self.resources, "--setup", f"export GATE='{self.gate}'", "--", *command
        )

    @property
    def begun(self) -> int:
        path = self.gate.with_suffix(".begun")
        return path.stat().st_size if path.exists() else 0

    def let(self, members: int) -> None:
        """Let so many more members be evaluated."""
        self.limit = self.begun + members
        self.gate.write_text(str(self.limit))

    def wait(self) -> None:
        self.user.wait(self.job, lambda state: self.begun > self.limit, "a generation's middle")

    def starts(self) -> list[int]:
        """Ranks of each start."""
        return [
            start["workers"] + 1
            for start in json.loads((self.folder / "config.json").read_text())["starts"]
        ]

    def check(self, undisturbed: Path) -> None:
        """The job ends by itself, with the undisturbed bytes."""
        self.let(10**6)
        assert self.user.wait_for_end(self.job) == ["COMPLETED"], self.user.logs()
        same_run(undisturbed, self.folder)


@pytest.fixture
def undisturbed(esengine: Run, tmp_path: Path) -> Path:
    (tmp_path / "open.gate").write_text("1000000")
    flags = ("--ranks", "2", "--quiet", "--run-dir", "undisturbed")
    assert esengine(*SEARCH, *SIZE, *flags, GATE=str(tmp_path / "open.gate")).returncode == 0
    return tmp_path / "undisturbed"


def test_requeue_cancellation_and_preemption(user: User, undisturbed: Path) -> None:
    first, second = Held(user, "first", ON_TWO_NODES), Held(user, "second", ON_TWO_NODES)
    first.wait()
    user.output("scontrol", "requeue", first.job)
    second.wait()
    assert "keeps a checkpoint" in user.output("esengine", "cancel", "second")
    assert user.wait_for_end(second.job) == ["CANCELLED"]
    assert any((second.folder / "checkpoints").iterdir())
    second.let(MEMBERS)
    second.submit("resume", "second", "--trust-modules")
    first.let(MEMBERS)
    first.wait()
    second.wait()
    urgent = user.output(
        "sbatch", "--parsable", "--partition=urgent", "--nodes=2", "--exclusive", "--wrap=sleep 1"
    ).strip()
    assert user.wait_for_end(urgent) == ["COMPLETED"]
    for held in (first, second):
        held.check(undisturbed)
        assert len(held.starts()) == 3


def test_a_set_of_runs_is_one_job_that_is_requeued(user: User, undisturbed: Path) -> None:
    gate = user.folder / "set.gate"
    gate.write_text(str(2 * MEMBERS))
    command = (*SEARCH, *SIZE, "--seeds", "0,3", "--run-dir", "set")
    told = user.output(
        "esengine", "submit", *ON_TWO_NODES, "--setup", f"export GATE='{gate}'", "--", *command
    )
    assert "each run has 24 members for 2 workers" in told
    job = told.splitlines()[0].split()[-1]
    begun = gate.with_suffix(".begun")
    user.wait(
        job, lambda state: begun.exists() and begun.stat().st_size > 2 * MEMBERS, "its middle"
    )
    assert re.search(rf"^{job} +running .* 0 of 2 runs ", user.output("esengine", "status"), re.M)
    user.output("scontrol", "requeue", job)
    gate.write_text("1000000")
    assert user.wait_for_end(job) == ["COMPLETED"], user.logs()
    same_run(undisturbed, user.folder / "set" / "seed-0")
    assert user.output("esengine", "status", "set").count(" done ") == 2
    starts = json.loads((user.folder / "set" / "seed-3" / "config.json").read_text())["starts"]
    assert [start["job"] for start in starts] == [job, job]


@pytest.mark.disturbance
def test_crashed_nodes(user: User, undisturbed: Path) -> None:
    held = Held(user, "run", ON_WHAT_THERE_IS)
    first, second = user.cluster.nodes
    for crashed in (second, first):  # first the one without the batch script, then the one with it
        held.wait()
        user.cluster.crash(crashed)
        held.let(MEMBERS)
        held.wait()  # on the node that is left, once Slurm has noticed
        user.cluster.boot(crashed)
    held.check(undisturbed)
    assert held.starts() == [5, 3, 3]  # two workers a node, and the master


@pytest.mark.disturbance
def test_three_minutes_of_work_under_a_limit_of_one(
    user: User, esengine: Run, tmp_path: Path
) -> None:
    search = words("train openai-es --objective worlds:slow_sphere --dimension 3 --minimize")
    size = ("--population-size", "40", "--generations", "450", "--checkpoint-every", "50")
    job = user.submit(
        *ON_TWO_NODES, *words("--time 1 --stop-before 5 --"), *search, *size, "--run-dir", "limited"
    )
    undisturbed = esengine(
        *search, *size, "--ranks", "8", "--quiet", "--run-dir", "unlimited", timeout=800
    )
    assert undisturbed.returncode == 0
    assert user.wait_for_end(job, patience_s=700) == ["COMPLETED"], user.logs()  # nine starts or so
    same_run(tmp_path / "unlimited", user.folder / "limited")
    config = json.loads((user.folder / "limited" / "config.json").read_text())
    assert len(config["starts"]) > 3
    assert {start["outcome"] for start in config["starts"][:-1]} == {"stopped"}
    assert (
        "the job goes back into the queue"
        in (user.folder / "limited" / "slurm" / f"{job}.log").read_text()
    )
