"""Several hosts: one table and one copy of the published state on each, and the bits of a single
process.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from esengine.launch.mpirun.local_ranks import find_mpirun
from tests.conftest import Run
from tests.support import processes
from tests.support.hosts import Hosts
from tests.support.launches import TOLERANT, several, variables
from tests.support.runs import folder_of, same_run
from tests.support.searches import METHODS
from tests.support.words import words

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None,
    reason="network namespaces need root and iproute2",
)


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    name = f"es{os.getpid()}"
    up = Hosts(tmp_path_factory.mktemp("hosts"), (f"{name}a", f"{name}b"))
    try:
        yield up
    finally:
        up.close()


def command_of(method: str) -> tuple[str, ...]:
    if method == "cma-es":  # large enough that the covariance sum is distributed
        search = words("train cma-es --objective worlds:sphere --dimension 130 --minimize")
        return (*search, "--population-size", "600", "--generations", "3")
    return (*METHODS[method], "--env-id", "CartPole-v1", "--generations", "4", "--eval-every", "2")


def launch(
    hosts: Hosts, place: Path, program: Sequence[str], *options: str, **more: str
) -> tuple[list[str], dict[str, str]]:
    """The command line and the environment of a launch with two ranks on each host."""
    first, second = hosts.names
    environment = {
        name: value for name, value in variables().items() if name != "ESENGINE_SHM_ROOT"
    }  # hosts have their own
    environment |= {"OMPI_MCA_btl_sm_backing_directory": "/dev/shm", **more}
    forwarded = [
        option
        for name in environment
        if name.startswith(("OMPI_MCA", "OMP_", "PYTHONPATH")) or name in more
        for option in ("-x", name)
    ]
    agent = ("--prtemca", "plm_ssh_agent", str(hosts.agent()))
    where = ("--host", f"{first}:2,{second}:2", "--bind-to", "none")
    mpirun = (find_mpirun(), *options, *agent, *where, *forwarded, sys.executable)
    return hosts.command_on(first, place, *mpirun, *program), environment


@pytest.fixture(scope="module")
def folder(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every method has run on two ranks of each host, in one launch."""
    place = tmp_path_factory.mktemp("runs")
    program = several(
        [(*command_of(method), "--run-dir", folder_of(method)) for method in METHODS], place
    )
    command, environment = launch(hosts, place, program)
    result = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, errors="replace",
        timeout=200, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return place


@pytest.mark.parametrize("method", METHODS)
def test_two_hosts_give_the_bits_of_one_process(
    folder: Path, esengine_here: Run, tmp_path: Path, method: str
) -> None:
    assert esengine_here(*command_of(method), "--ranks", "1", "--run-dir", "one").returncode == 0
    same_run(tmp_path / "one", folder / folder_of(method))


@pytest.mark.usefixtures("folder")
def test_nothing_is_left_on_the_hosts(hosts: Hosts, tmp_path: Path) -> None:
    for name in hosts.names:
        look = hosts.command_on(name, tmp_path, "ls", "/dev/shm")
        assert subprocess.run(look, capture_output=True, text=True, check=True).stdout == ""


def test_ranks_of_another_host_that_all_die_are_replaced_there(
    hosts: Hosts, esengine_here: Run, tmp_path: Path
) -> None:
    search = words("train cma-es --objective worlds:slow_sphere --dimension 3 --minimize --quiet")
    arguments = (*search, *words("--population-size 40 --generations 25"))
    assert esengine_here(*arguments, "--ranks", "1", "--run-dir", "one").returncode == 0
    program = ("-m", "esengine", *arguments, "--run-dir", "two")
    mark = {processes.MARK: str(tmp_path)}
    command, environment = launch(hosts, tmp_path, program, *TOLERANT, **mark)
    seen = set()
    with subprocess.Popen(command, cwd=tmp_path, env=environment) as process:
        while not (tmp_path / "two" / "metrics.jsonl").exists():
            assert process.poll() is None
            time.sleep(0.01)
        processes.kill(rank.pid for rank in processes.workers(str(tmp_path)) if rank.number > 1)
        while process.poll() is None:
            workers = processes.workers(str(tmp_path))
            seen |= {rank.number for rank in workers if rank.is_replacement}
            time.sleep(0.05)
    assert process.returncode == 0
    assert seen == {2, 3}
    assert processes.wait_for_the_end(str(tmp_path)) == []
    same_run(tmp_path / "one", tmp_path / "two")
