"""Several hosts: one table and one copy of the published state on each, and the bits of a single process."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from esengine.launch.local_mpi import environment_of_ranks, find_mpirun
from tests.conftest import SUPPORT, Run
from tests.mpi.test_ranks import METHODS, same_run
from tests.support.hosts import Hosts

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="network namespaces need root and iproute2"
)


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    folder = tmp_path / "hosts"
    folder.mkdir()
    up = Hosts(folder, ("esa", "esb"))
    try:
        yield up
    finally:
        up.close()


@pytest.mark.parametrize("method", METHODS)
def test_two_hosts_give_the_bits_of_one_process(hosts: Hosts, esengine: Run, tmp_path: Path, method: str) -> None:
    arguments = [*METHODS[method], "--env-id", "CartPole-v1", "--generations", "4", "--eval-every", "2"]
    if method == "cma-es":  # large enough that the covariance sum is distributed
        arguments = ["train", "cma-es", "--objective", "worlds:sphere", "--dimension", "130", "--minimize"]
        arguments += ["--population-size", "600", "--generations", "3"]
    mpirun = [find_mpirun(), "--prtemca", "plm_ssh_agent", str(hosts.agent()), "--host", "esa:2,esb:2", "--bind-to", "none"]
    look = "ls /dev/shm/esengine-*/noise | wc -l"
    variables = {**environment_of_ranks(), "PYTHONPATH": str(SUPPORT)}
    forwarded = [option for name in variables if name.startswith(("OMPI_MCA", "OMP_", "PYTHONPATH")) for option in ("-x", name)]
    command = hosts.command_on(
        "esa", tmp_path, *mpirun, *forwarded, sys.executable, "-m", "esengine", *arguments, "--run-dir", "two"
    )
    result = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, errors="replace", timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert esengine(*arguments, "--ranks", "1", "--run-dir", "one").returncode == 0
    same_run(tmp_path / "one", tmp_path / "two")
    for name in hosts.names:  # and nothing is left
        left = subprocess.run(
            hosts.command_on(name, tmp_path, "bash", "-c", look), capture_output=True, text=True, check=False
        ).stdout
        assert left.strip() == "0"
