"""What a user has named or trusted in a folder needs no consent again; nobody else can give it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from esengine import load_policy
from esengine.errors import UserError
from esengine.user_code import PROGRAM, are_remembered, check_trusted
from tests.conftest import Run
from tests.support.policies import untrained_policy

COST = "def cost(x):\n    return float(x @ x)\n"
PARTS = """
import gymnasium
import numpy as np
from gymnasium import spaces


class Parts(gymnasium.Env):
    observation_space = spaces.Dict(
        {"place": spaces.Box(-1, 1, (2,), np.float32), "kind": spaces.Discrete(3)}
    )
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}


gymnasium.register("Parts-v0", Parts)
"""


@pytest.fixture
def states(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder for states."""
    folder = tmp_path_factory.mktemp("states")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


@pytest.fixture
def project(states: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the user's own module, package and program, where they work."""
    folder = tmp_path / "project"
    (folder / "parts").mkdir(parents=True)
    for name in (
        "trusted_cost.py",
        "parts/__init__.py",
        "parts/inner.py",
        "solver.sh",
        "model.xml",
    ):
        (folder / name).write_text(COST)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def trust(*names: str) -> bool:
    check_trusted("a run", *names, trusted=True)
    return are_remembered(*names)


@pytest.mark.parametrize(
    "name",
    [
        "trusted_cost:cost",
        "parts.inner:cost",
        "parts:Own-v0",
        f"{PROGRAM}./solver.sh {{input}}",
        f"{PROGRAM}sh solver.sh --steps 3",
        "model.xml",
    ],
)
def test_a_name_of_own_files_is_remembered_in_its_folder(project: Path, name: str) -> None:
    with pytest.raises(UserError, match="--trust-modules"):
        check_trusted("a run", name)
    assert trust(name)
    check_trusted("a run", name)
    assert not are_remembered(f"{name}2")


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "esengine.launch.cli:main",
        "no_such_module:cost",
        "missing.xml",
        "/etc/hostname",
        f"{PROGRAM}/bin/sh -c true",
        "python-object:cost",
    ],
)
def test_what_lies_elsewhere_is_never_remembered(project: Path, name: str) -> None:
    assert not trust(name)


def test_a_run_beside_the_own_files_brings_no_module(project: Path) -> None:
    theirs = project / "runs" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "evil.py").write_text(COST)
    assert trust("trusted_cost:cost")
    with pytest.raises(UserError, match=r"runs\.theirs\.evil"):
        check_trusted("a run", "trusted_cost:cost", "runs.theirs.evil:cost")


def test_another_folder_in_the_place_is_another_folder(project: Path, tmp_path: Path) -> None:
    assert trust("trusted_cost:cost")
    project.rename(tmp_path / "before")
    project.mkdir()
    (project / "trusted_cost.py").write_text(COST)
    os.chdir(project)
    assert not are_remembered("trusted_cost:cost")


def test_what_others_can_write_is_not_own(project: Path) -> None:
    assert trust("trusted_cost:cost", "parts.inner:cost")
    (project / "trusted_cost.py").chmod(0o666)
    (project / "parts").chmod(0o777)
    assert not are_remembered("trusted_cost:cost")
    assert not are_remembered("parts.inner:cost")
    (project / "trusted_cost.py").unlink()
    (project / "trusted_cost.py").symlink_to(os.devnull)
    assert not are_remembered("trusted_cost:cost")


def test_nobody_brings_a_consent(
    project: Path, states: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trust("trusted_cost:cost")
    record = states / "esengine" / "trusted.json"
    brought = project / "states" / "esengine"
    brought.mkdir(parents=True, mode=0o700)
    (brought / record.name).write_bytes(record.read_bytes())
    for place in ("states", str(project / "states")):
        monkeypatch.setenv("XDG_STATE_HOME", place)
        assert not are_remembered("trusted_cost:cost")

    monkeypatch.setenv("XDG_STATE_HOME", str(states))
    record.parent.chmod(0o755)
    assert not are_remembered("trusted_cost:cost")
    record.parent.chmod(0o700)
    assert are_remembered("trusted_cost:cost")
    record.write_text("{")
    assert not are_remembered("trusted_cost:cost")
    assert trust("trusted_cost:cost")


def test_a_run_of_own_code_is_resumed_without_a_flag(
    states: Path, esengine_here: Run, tmp_path: Path
) -> None:
    (tmp_path / "trusted_run.py").write_text(COST)
    settings = ("--objective", "trusted_run:cost", "--dimension", "2", "--workers", "1")
    begun = esengine_here("train", "cma-es", *settings, "--generations", "2", "--run-dir", "run")
    assert begun.returncode == 0, begun.stderr
    (states / "esengine" / "trusted.json").rename(states / "kept")

    refused = esengine_here("resume", "run", "--generations", "3")
    assert refused.returncode == 2
    assert "trusted_run:cost" in refused.stderr
    asked = esengine_here("resume", "run", "--generations", "3", "--trust-modules")
    assert asked.returncode == 0, asked.stderr
    again = esengine_here("resume", "run", "--generations", "4")
    assert again.returncode == 0, again.stderr


def test_a_policy_takes_dictionaries_once_its_module_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dictionary_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    path = untrained_policy(tmp_path / "policy.safetensors", "dictionary_parts:Parts-v0")
    observation = {"place": np.zeros(2, np.float32), "kind": 1}
    assert load_policy(path).act(observation).shape == (1,)
    monkeypatch.delitem(sys.modules, "dictionary_parts")
    with pytest.raises(UserError, match="import its module first"):
        load_policy(path).act(observation)
