"""Every command that runs code of users has the same rules for members that fail, for signals and
for output that nobody takes.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from esengine.launch.demonstrations.collecting import CollectSettings
from esengine.launch.results.evaluation import EvaluateSettings
from esengine.launch.results.failures import FailuresSettings
from esengine.launch.settings.config import flags_of
from esengine.launch.settings.methods import METHODS, family_of
from esengine.launch.settings.train_settings import TrainSettings
from esengine.pool import WorkerRules
from tests.chaos import signals
from tests.conftest import Run
from tests.support.policies import untrained_policy
from tests.support.words import words

RULES = [field.name for field in fields(WorkerRules)]


@pytest.mark.parametrize(
    "settings", [TrainSettings, CollectSettings, EvaluateSettings, FailuresSettings]
)
def test_every_command_with_members_has_the_rules(settings: type[WorkerRules]) -> None:
    assert issubclass(settings, WorkerRules)
    flags = flags_of(WorkerRules(member_retries=4, member_timeout=2.0, respawn=False), ())
    assert flags == ["--member-retries", "4", "--member-timeout", "2.0", "--no-respawn"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_reads_the_rules(method: str) -> None:
    assert all(family_of(method).reads("fault_tolerance", name) for name in RULES)


def test_a_time_out_reaches_the_ranks_that_collect_starts(esengine: Run) -> None:
    demonstrator = words("collect --expert teachers:still --env-id worlds:TestForgetful-v0")
    rules = words(
        "--env-arg fault=hang --episodes 1 --ranks 1 --member-timeout 1 --member-retries 0"
    )
    result = esengine(*demonstrator, *rules)
    assert result.returncode == 1
    assert "its worker was killed, since it took longer than --member-timeout 1 s" in result.stderr
    assert f" on {socket.gethostname()}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_an_evaluation_of_too_few_episodes_is_refused(esengine_here: Run, tmp_path: Path) -> None:
    forgetful = {"env_id": "worlds:TestForgetful-v0", "fault": "sometimes-raise"}
    untrained_policy(tmp_path / "policy.safetensors", **forgetful)
    arguments = words("evaluate policy.safetensors --trust-modules --episodes 4 --ranks 1")
    result = esengine_here(*arguments, "--max-failed-fraction", "0.2")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "esengine: 2 of 4 episodes failed, more than --max-failed-fraction 0.2 allows: "
    )
    assert esengine_here(*arguments).returncode == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that commands are disturbed over."""
    folder = tmp_path_factory.mktemp("made")
    signals.prepare(folder, rewards=False)
    return folder


@pytest.mark.parametrize(
    ("name", "what"), [("render", "TERM"), ("report", "INT"), ("collect", "HUP")]
)
def test_a_signal_ends_a_command_and_leaves_nothing(
    tmp_path: Path, made: Path, name: str, what: str
) -> None:
    shutil.copytree(made, tmp_path / "try")
    assert signals.disturb(tmp_path / "try", name, what, 1.5, limit_s=60) == ""


def test_a_run_outlives_its_words_and_stops_in_order_when_its_reader_has_gone(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    def status(command: str) -> int:
        line = f"set -o pipefail; {sys.executable} -m esengine {command}"
        bash = ["bash", "-c", line]
        return subprocess.run(bash, cwd=tmp_path, env=environment, check=False).returncode

    train = "train openai-es --env-id CartPole-v1 --population-size 4 --ranks 1 --final-episodes 1"
    assert status(f"{train} --generations 2 --run-dir full > /dev/full") == 0
    assert (tmp_path / "full" / "done.json").exists()
    assert status(f"{train} --generations 100000 --run-dir gone | head -1 > /dev/null") == 75
    assert status("status full > /dev/full 2> errors") == 1
    assert (tmp_path / "errors").read_text() == (
        "esengine: standard output must take the result, but: [Errno 28] No space left on device\n"
    )
