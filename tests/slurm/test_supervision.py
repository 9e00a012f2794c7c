"""What a job decides by itself: when to stop, whom to believe dead, when to give up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from esengine.errors import UserError
from esengine.launch.mpirun.slurm_allocation import Allocation
from esengine.launch.runs.run_directory import RunDirectory
from esengine.launch.slurm.job_task import task_of
from esengine.launch.slurm.supervisor import _idle_starts
from esengine.launch.training.clocks import TimeLimit


def test_a_generation_that_does_not_fit_waits_for_the_next_job() -> None:
    limit = TimeLimit(time.time() + 100)
    assert limit.leaves(50)
    limit._deadline = time.time() + 40  # a minute later
    assert not limit.leaves(50)
    assert limit.leaves(
        101
    )  # no whole job would have room for it, so it is begun, and saved chunk by chunk
    assert TimeLimit().leaves(1e9)


def test_an_array_task_is_never_named_by_the_whole_array() -> None:
    variables = {
        "SLURM_JOB_ID": "7",
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "5",
        "SLURM_RESTART_COUNT": "2",
    }
    allocation = Allocation.current(
        variables | {"SLURM_JOB_NUM_NODES": "3", "SLURM_TASKS_PER_NODE": "4(x2),3"}
    )
    assert allocation == Allocation("7_5", num_nodes=3, num_tasks=11, cpus_per_task=1, restarts=2)
    assert Allocation.current({}) is None


def test_starts_without_progress_are_counted_until_there_is_some(tmp_path: Path) -> None:
    task = task_of(["resume", str(tmp_path)])

    def begin(restarts: int) -> int:
        return _idle_starts(task, Allocation("7", 1, 1, 1, restarts))

    assert [begin(0), begin(1), begin(2)] == [0, 1, 2]
    (tmp_path / "checkpoints" / "000002").mkdir(parents=True)
    assert [begin(3), begin(4)] == [0, 1]
    assert _idle_starts(task, Allocation("8", 1, 1, 1, 0)) == 0


def test_the_lock_of_the_jobs_earlier_start_on_a_lost_node_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    first = RunDirectory(tmp_path).acquire()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    with pytest.raises(
        UserError, match="is held by process"
    ):  # on this host the kernel knows better
        RunDirectory(tmp_path).acquire()
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    with pytest.raises(UserError, match=r"is held by process .* \(job 7\)"):
        RunDirectory(tmp_path).acquire()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    second = RunDirectory(tmp_path).acquire()
    owner = {"host": "another", "pid": os.getpid(), "job": "7", "restarts": 1}
    assert json.loads((tmp_path / "lock").read_text()).items() >= owner.items()
    second.release()
    first.release()


def test_a_checkpoint_is_finished_by_a_copy_when_the_rank_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\nfrom esengine.ranks.signals import outlive\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "def save():\n    (folder / 'begun').touch()\n    time.sleep(0.5)\n    (folder / "
        "'saved').touch()\n"
        "outlive(save, first=lambda: None)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], start_new_session=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    while not (tmp_path / "saved").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
