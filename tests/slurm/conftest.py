"""One cluster for all tests of a session, and what a user does with it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import SUPPORT
from tests.support import accounting
from tests.support.slurm import SlurmCluster, missing

PATIENCE_S = 200


class User:
    """Somebody on the login node, in a folder of their own.

    Args:
        cluster: where to work.
        folder: the working folder.
        variables: of the environment of all commands.
    """

    def __init__(
        self, cluster: SlurmCluster, folder: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        self.cluster, self.folder = cluster, folder
        self._variables = {"PYTHONPATH": str(SUPPORT), **(variables or {})}

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.cluster.run(
            *map(str, command), folder=self.folder, **(self._variables | variables)
        )

    def output(self, *command: str | Path) -> str:
        """What a command prints, which must succeed."""
        result = self.run(*command)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def use_no_accounting(self) -> None:
        """Let this user's commands find a cluster that keeps no accounting."""
        lines = (self.cluster.folder / "slurm.conf").read_text().splitlines(keepends=True)
        path = self.folder / "slurm.conf"
        path.write_text("".join(line for line in lines if not line.startswith("AccountingStorage")))
        self._variables["SLURM_CONF"] = str(path)

    def submit(self, *arguments: str | Path) -> str:
        """``esengine submit``; returns the job."""
        return (
            self.output("esengine", "submit", *arguments).splitlines()[0].split(",")[0].split()[-1]
        )

    def wait(
        self, job: str, condition: Callable[[str], bool], what: str, patience_s: float = PATIENCE_S
    ) -> None:
        """Wait until a job's state meets a condition; one that was requeued need not wait for its
        two minutes.
        """
        deadline, hurried = time.monotonic() + patience_s, 0.0
        while True:
            states = self.cluster.states(job)
            if all(condition(state) for state, _ in states):
                return
            if (
                any(reason == "BeginTime" for _, reason in states)
                and time.monotonic() - hurried > 10
            ):
                hurried = (
                    time.monotonic()
                )  # a node refuses a job within the second in which it ended it
                self.cluster.output("scontrol", "update", f"jobid={job}", "StartTime=now+2")
            assert time.monotonic() < deadline, (what, states, self.logs())
            time.sleep(0.1)

    def wait_for_end(self, job: str, patience_s: float = PATIENCE_S) -> list[str]:
        """Wait until a job, with all its tasks, has ended for good; returns the states."""
        for_good = ("COMPLETED", "CANCELLED")
        ended = (*for_good, "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")
        while True:
            self.wait(job, lambda state: state in ended, "its end", patience_s)
            states = [state for state, _ in self.cluster.states(job)]
            if all(state in for_good for state in states):
                return states
            time.sleep(1.0)  # a job that is being requeued is shown as failed for a moment
            if [state for state, _ in self.cluster.states(job)] == states:
                return states

    def logs(self) -> str:
        return "\n".join(
            f"{path}:\n{path.read_text(errors='replace')}" for path in self.folder.glob("**/*.log")
        )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SlurmCluster]:
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("cluster")
    up = SlurmCluster(folder, accounted=accounting.available())
    try:
        yield up
    finally:
        up.close()


@pytest.fixture
def user(cluster: SlurmCluster, tmp_path: Path) -> Iterator[User]:
    yield User(cluster, tmp_path)
    cluster.run("scancel", "--me")
    cluster.boot_crashed()
    cluster.wait_for_nodes()
