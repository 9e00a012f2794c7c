"""A run that is resumed with other code says so, and keeps no best value of the old code."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.launch.runs.code import changes, code_at, code_of
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.train_settings import TrainSettings
from esengine.launch.training.noisy_best import Best, NoisyBest
from esengine.user_code import named_module
from tests.conftest import Run
from tests.support.training import METHODS, training
from tests.support.words import words

TARGET = 'import os\nTARGET = {value}\nSHIFT = float(os.environ.get("SHIFT", "0"))\n'
COST = """
from .parts.target import SHIFT, TARGET

def cost(x):
    return float(((x - TARGET) ** 2).sum()) + SHIFT
"""
GROWN = """
import gymnasium
import numpy as np

class Grown(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-9, 9, ({size},), np.float32)
    action_space = gymnasium.spaces.Discrete({actions})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros({size}, np.float32), {{}}

    def step(self, action):
        return np.ones({size}, np.float32), {reward}, True, False, {{}}

gymnasium.registry.pop("Grown-v0", None)
gymnasium.register("Grown-v0", Grown)
"""


@pytest.fixture(autouse=True)
def _modules_are_read_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    forget()


def forget() -> None:
    """Let the next import read the modules of these tests from their files, as a new process
    does.
    """
    for name in [name for name in sys.modules if name.partition(".")[0] in ("moved", "grown")]:
        del sys.modules[name]


def write_objective(folder: Path, value: float) -> None:
    (folder / "moved" / "parts").mkdir(parents=True, exist_ok=True)
    (folder / "moved" / "sim.py").write_text(COST)
    (folder / "moved" / "parts" / "target.py").write_text(TARGET.format(value=value))
    forget()


def test_a_changed_helper_is_named_and_the_best_is_evaluated_again(
    esengine_here: Run, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    train = words("train cma-es --objective moved.sim:cost --dimension 2 --minimize --ranks 1")
    write_objective(tmp_path, 1.0)
    assert esengine_here(*train, "--generations", "9", "--run-dir", "run").returncode == 0

    def resume(generations: int, **variables: str) -> list[str]:
        recwarn.clear()
        command = words(f"resume run --generations {generations} --ranks 1 --trust-modules")
        assert esengine_here(*command, **variables).returncode == 0
        return [str(warning.message) for warning in recwarn.list]

    forget()
    assert resume(10) == []
    first = json.loads((tmp_path / "run" / "best.json").read_text())

    write_objective(tmp_path, 5.0)
    changed, renewed = resume(11)
    assert "the code of --objective moved.sim:cost (moved.parts.target) has changed" in changed
    assert f"where it was {first['value']:.6g}" in renewed
    best = json.loads((tmp_path / "run" / "best.json").read_text())
    assert best["value"] == pytest.approx(sum((x - 5.0) ** 2 for x in best["point"]))
    assert best["parameters"] != first["parameters"]
    forget()
    assert resume(12) == []

    write_objective(tmp_path, 4.0)
    replay = words("replay run --generation 12 --member 0 --trust-modules")
    assert esengine_here(*replay).returncode == 0
    assert "run: the member is evaluated with the new code" in str(recwarn.list[0].message)
    forget()
    assert len(resume(13)) == 2
    forget()
    (renewed,) = resume(14, SHIFT="100")  # what no file tells
    assert "the objective is 1" in renewed
    assert json.loads((tmp_path / "run" / "best.json").read_text())["value"] > 100

    # a best value by several seeds is kept in another way
    for generation, parameters, count in ((15, "x, seed", 20), (16, "x", 1)):
        changed = COST.replace("(x)", f"({parameters})")
        (tmp_path / "moved" / "sim.py").write_text(changed)
        forget()
        (warning,) = resume(generation)
        assert "(moved.sim) has changed" in warning
        best = json.loads((tmp_path / "run" / "best.json").read_text())
        assert best.get("evaluations", 1) == count


def test_another_observation_or_action_is_refused_as_evaluate_does(
    esengine_here: Run, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    def write(**parts: int) -> None:
        (tmp_path / "grown.py").write_text(GROWN.format(**parts))
        forget()

    write(size=3, actions=4, reward=1)
    train = words("train truncation-es --env-id grown:Grown-v0 --generations 1 --ranks 1 --run-dir")
    assert esengine_here(*train, "run").returncode == 0
    assert esengine_here(*train, "more", "--init-policy", "run").returncode == 0

    made = "got 3 observations and 4 discrete actions"
    resume = words("resume run --generations 2 --ranks 1 --trust-modules")
    for size, actions in ((4, 4), (3, 2)):
        write(size=size, actions=actions, reward=1)
        has = f"run must fit grown:Grown-v0, which has {size} observations and {actions} discrete"
        commands = (
            *("resume run --generations 2 --ranks 1", "evaluate run --episodes 1 --ranks 1"),
            "replay run --generation 2 --member 0",
        )
        for command in (words(f"{each} --trust-modules") for each in commands):
            refused = esengine_here(*command)
            assert refused.returncode == 2
            assert f"{has} actions, {made}" in refused.stderr
        refused = esengine_here(*words(commands[0].replace("run", "more")), "--trust-modules")
        assert f"the run more must fit grown:Grown-v0, which has {size}" in refused.stderr
    assert (tmp_path / "run" / "done.json").exists()

    write(size=3, actions=4, reward=-7)
    recwarn.clear()
    assert esengine_here(*resume).returncode == 0
    (changed,) = (str(warning.message) for warning in recwarn.list)
    assert "since the code of --env-id grown:Grown-v0 (grown) has changed; restore it" in changed
    assert json.loads((tmp_path / "run" / "done.json").read_text())["best_fitness"] == -7


def test_a_checkpoint_that_does_not_fit_changed_code_is_blamed_on_the_code(
    esengine_here: Run, tmp_path: Path
) -> None:
    def write(size: int) -> None:
        (tmp_path / "moved.py").write_text(f"def ends(env, seen):\n    return [0.0] * {size}\n")
        forget()

    write(2)
    flags = "--behavior moved:ends --novelty ns --population-size 4 --eval-every 0 --ranks 1"
    train = words(f"train cma-es --env-id CartPole-v1 {flags} --generations 1 --run-dir run")
    assert esengine_here(*train).returncode == 0
    write(3)
    refused = esengine_here(*words("resume run --generations 2 --ranks 1 --trust-modules"))
    assert refused.returncode == 2
    assert "but that of --behavior moved:ends (moved) has changed; restore" in refused.stderr


def test_code_is_that_of_the_start_which_made_the_checkpoint() -> None:
    codes = [{"--rules r": {"r": digest}} for digest in "abc"]
    starts: list[dict[str, Any]] = [
        {"code": codes[0], "resumed": None},
        {"code": codes[1], "resumed": 10},  # and ended before the next checkpoint
        {"outcome": "refused"},
        {"code": codes[2], "resumed": 10},
    ]
    assert code_at(starts, 10) == codes[0]
    assert code_at(starts, 20) == codes[2]
    assert code_at([{"code": 3}, {}], 10) == {}
    assert changes(codes[0], codes[2]) == ["--rules r (r)"]
    assert changes({}, codes[2]) == changes(codes[2], codes[2]) == []


def test_the_code_of_an_environment_is_that_of_its_class_and_the_files_it_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.xml").write_text("<mujoco/>")
    train = TrainSettings(env_id="Pendulum-v1", env_arg=("xml_file=./model.xml",))
    named_module("--env-id", "gymnasium.envs.classic_control.pendulum")
    code = code_of(RunConfig("cma-es", train, METHODS["cma-es"].search))
    found = code["--env-id Pendulum-v1"]
    assert {"gymnasium.core", "gymnasium.envs.classic_control.pendulum", "./model.xml"} <= set(
        found
    )
    assert not any(name.startswith("esengine") for name in found)


def test_scores_of_the_old_code_are_forgotten(tmp_path: Path) -> None:
    loop = training(tmp_path / "run", config=METHODS["truncation-es"])
    loop.run()
    assert loop.best is not None
    loop.best.renew(np.full(10, 1e9))  # as if the old code had paid more
    loop.renew(True)
    assert (loop.best.mean_return or 0) <= 500
    assert loop.counters["best_fitness"] is None

    noisy = NoisyBest(1)
    noisy.best = Best(np.ones(1), 5.0, 10)
    noisy.meet(Best(np.zeros(1), 9.0, 1))
    noisy.renew(lambda row: Best(row, float(row[0]), 3))
    assert noisy.shown == noisy.best == Best(noisy.best.row, 1.0, 3)
    assert noisy.newcomer.num_evaluations == 0
