"""What a launch keeps in shared memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from esengine.launch.mpirun import start_watch
from esengine.launch.mpirun.error_filter import filtered
from esengine.launch.mpirun.local_ranks import environment_of_ranks, find_mpirun, run_ranks
from esengine.ranks import StopRequest, shared_folder
from esengine.ranks.shared_folder import ROOT
from tests.conftest import REPOSITORY, SUPPORT


def test_folders_of_the_living_stay_and_those_of_the_dead_go() -> None:
    script = (
        "import time; from esengine.launch.mpirun.local_ranks import launch_folder\n"
        "with launch_folder(2) as folder: print(folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == ROOT
        assert folder not in shared_folder.remove_abandoned(ROOT)
        assert folder.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folder in shared_folder.remove_abandoned(ROOT)
    assert not folder.exists()


def test_lines_of_mpirun_are_dropped_and_all_else_passes() -> None:
    rule = b"-" * 74 + b"\n"
    killed = [
        rule,
        b"prterun noticed that process rank 0 with PID 1 on node n exited on\n",
        b"signal 9 (Killed).\n",
        rule,
    ]
    other = [rule, b"There are not enough slots available in the system\n", rule]
    lines = [
        b"one\n",
        *killed,
        *killed,
        b"LAUNCHER JOB OBJECT NOT FOUND\n",
        b"\0two\n",
        *other,
        *killed,
        rule,
    ]
    assert list(filtered(lines)) == [b"one\n", b"two\n", *other, rule]


def test_files_of_a_killed_mpirun_with_the_same_process_number_do_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """mpirun keeps its contact files in a folder named by its process number, and cannot start
    where there is one.
    """
    for number in range(os.getpid() + 1, os.getpid() + 3000):
        folder = tmp_path / f"ompi.{number % int(Path('/proc/sys/kernel/pid_max').read_text())}"
        folder.mkdir(mode=0o700)
        for name in (
            "pmix.vm.tool",
            f"pmix.vm.tool.{number}",
            f"pmix.vm.tool.prterun-{socket.gethostname()}-{number}@0",
        ):
            (folder / name).write_text("prterun-gone@0.0;tcp4://127.0.0.1:1\n")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert run_ranks(1, [], StopRequest(), module="platform") == 0


def test_children_are_the_same_in_the_kernels_list_and_in_a_scan() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        listed = start_watch._children(os.getpid())
        scanned = [
            pid for pid in start_watch.processes() if start_watch._parent(pid) == os.getpid()
        ]
        child.communicate(b"\n")

    assert child.pid in listed
    assert sorted(listed) == sorted(scanned)


def test_no_rank_of_a_launch_on_one_machine_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(SUPPORT), str(REPOSITORY)]))
    assert run_ranks(2, [str(tmp_path)], StopRequest(), module="listening") == 0
    told = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert told == {"rank-0": "[]", "rank-1": "[]", "rank-2": "[]"}


@pytest.mark.parametrize(
    ("variables", "one"),
    [
        ({}, True),
        ({"SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "1"}, True),
        ({"SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "2"}, False),
        ({"PBS_NODEFILE": "/nodes"}, False),
        ({"PRTE_MCA_prte_default_hostfile": "/hosts"}, False),
        ({"ESENGINE_MPIRUN": "mine"}, False),
    ],
)
def test_ranks_of_other_machines_can_be_reached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], one: bool
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    environment = environment_of_ranks(tmp_path)
    assert environment["OMPI_MCA_btl"] == ("self,sm" if one else "^ofi")
    assert environment.get("UCX_TLS") == ("self,sm" if one else None)
    assert environment_of_ranks()["OMPI_MCA_btl"] == "^ofi"
    monkeypatch.setenv("OMPI_MCA_btl", "tcp,self")
    assert environment_of_ranks(tmp_path)["OMPI_MCA_btl"] == "tcp,self"


@pytest.mark.parametrize(
    ("vendor", "name"), [("Intel(R) MPI", "mpiexec.hydra"), ("HYDRA", "mpirun")]
)
def test_signals_reach_the_program_behind_a_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, name: str
) -> None:
    for program in ("mpirun", "mpiexec.hydra"):
        (tmp_path / program).write_text(f"#!/bin/sh\necho '{vendor} Library'\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("ESENGINE_MPIRUN", str(tmp_path / "mpirun"))
    assert find_mpirun() == str(tmp_path / name)
