"""Fixtures that start the real program: real ranks, real files, real signals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from esengine.launch.cli import main
from esengine.ranks.shared_folder import ROOT
from tests import FOLDER
from tests.support import scheduling

REPOSITORY = Path(__file__).resolve().parent.parent
SUPPORT = REPOSITORY / "tests" / "support"

settings.register_profile("tests", deadline=None)  # a busy machine is no failure
settings.load_profile("tests")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first, and mark what `make quick` runs."""
    items.sort(key=lambda item: scheduling.place(item.nodeid))
    for item in items:
        is_slow = item.get_closest_marker("slow") or item.nodeid.startswith(scheduling.NOT_QUICK)
        if item.nodeid.startswith(scheduling.QUICK) and not is_slow:
            item.add_marker("quick")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> scheduling.ByFile:
    """With ``-n``, whole files go to the processes, in the order of collection."""
    config.option.loadscopereorder = False
    return scheduling.ByFile(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """With ``-n``, make the folder of the processes' shared memories, and remove it at the end,
    however the processes ended. No test remembers consents.
    """
    os.environ["XDG_STATE_HOME"] = os.devnull
    if FOLDER not in os.environ and config.getoption("numprocesses", None):
        folder = os.environ[FOLDER] = tempfile.mkdtemp(prefix="tests-of-esengine-", dir=ROOT)
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture
def environment() -> dict[str, str]:
    """Environment of a child: the support modules importable, no trace of an outer launch."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMPI_COMM", "PMI", "SLURM"))
    }
    path = os.pathsep.join([str(SUPPORT), str(REPOSITORY)])  # the checkout under test
    return {**kept, "PYTHONPATH": path, "COLUMNS": "200"}


@pytest.fixture
def esengine(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Runs ``esengine ARGUMENTS`` in a folder of its own."""

    def run(
        *arguments: str | Path, timeout: float = 240, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-P",
            "-m",
            "esengine",
            *map(str, arguments),
        ]  # as the console script does
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=environment | variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def esengine_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Runs ``esengine ARGUMENTS`` as the fixture `esengine` does, but in this process, which starts
    at once: for one rank.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SUPPORT))

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            status, told = main([str(argument) for argument in arguments]), capfd.readouterr()
        return subprocess.CompletedProcess(arguments, status, told.out, told.err)

    return run


@pytest.fixture(autouse=True)
def _nothing_left_in_shared_memory() -> Iterator[None]:
    """Fails a test that leaves anything in shared memory, Open MPI's own segments included."""
    before = _segments()
    yield
    assert _segments() - before == set()


def _segments() -> set[str]:
    """What our ranks and MPI libraries make in shared memory; other programs may use it too."""
    prefixes = ("esengine-", "sm_segment", "osc_", "vader", "ompi", "mpich", "pmix")
    return {name for name in os.listdir(ROOT) if name.startswith(prefixes)}
