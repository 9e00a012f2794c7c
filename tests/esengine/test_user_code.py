"""User code cannot change what the engine relies on or records."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from esengine import minimize, train
from esengine.demonstrations.experts import FunctionExpert
from esengine.demonstrations.recording import Acting, record_episode
from esengine.environments import Rules, describe
from esengine.errors import describe_exception
from esengine.launch.cli import main
from esengine.policies import Actor, PolicySpec
from esengine.ranks import StopRequest
from esengine.ranks.signals import SIGNALS
from esengine.user_code import environments_closed, limits_kept, note_open


class OneBuffer(gymnasium.Env[Any, Any]):
    """Hands out one observation again and again, and writes into the actions that it is given."""

    observation_space = spaces.Box(-99, 99, (2,), np.float64)
    action_space = spaces.Box(-1, 1, (1,), np.float64)

    def __init__(self) -> None:
        self.state = np.zeros(2)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        self.state[:] = 0
        return self.state, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.state += 1
        action *= 0
        return self.state, 0.0, False, bool(self.state[0] >= 5), {}


def test_recorded_steps_are_copies() -> None:
    env = OneBuffer()
    observations, action = describe(env)
    spec = PolicySpec(observations.dim, action)
    ones = np.ones(observations.dim, np.float32)
    actor = Actor(spec, np.zeros(spec.num_parameters, np.float32), 0 * ones, ones)
    constant = np.array([0.5])

    def expert(observation: Any) -> Any:
        observation -= 100
        return constant

    recorded = record_episode(
        env, observations, actor, FunctionExpert(expert), Rules(), Acting(), seed=1
    )

    assert recorded.trajectory.observations[:, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert recorded.trajectory.actions[:, 0].tolist() == [0.5] * 5
    assert constant == 0.5


def test_every_evaluation_gets_an_argument_of_its_own() -> None:
    def cost(x: Any) -> float:
        x -= 3.0
        return float((x * x).sum())

    result = minimize(cost, dimension=2, episodes_per_member=3, generations=40, seed=1)

    assert result.best_value is not None
    assert result.best_value < 1e-6
    np.testing.assert_allclose(result.parameters, [3, 3], atol=1e-2)


def test_a_run_keeps_its_folder_and_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = (os.umask(0o022), sys.getrecursionlimit())
    try:
        result = train(
            "pycma",
            objective="tests.support.worlds:unruly",
            dimension=3,
            minimize=True,
            generations=3,
            run_dir=Path("runs/here"),
        )
        after = (os.umask(0o022), sys.getrecursionlimit())
    finally:
        os.umask(before[0])

    assert result.finished
    assert Path.cwd() == tmp_path
    assert after == (0o022, before[1])
    assert stat.S_IMODE(Path("runs/here/best.json").stat().st_mode) == 0o644


def test_closed_streams_and_warnings_as_errors_stay_with_user_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esengine.user_code.opened._faulty", {})
    streams = (sys.stdout, sys.stderr)
    env = OneBuffer()
    monkeypatch.setattr(env, "close", raising)
    with warnings.catch_warnings(record=True) as told:
        with limits_kept():
            with (tmp_path / "log").open("w") as file:
                sys.stdout = sys.stderr = file
            warnings.simplefilter("error")
        assert (sys.stdout, sys.stderr) == streams
        with pytest.raises(UserWarning):
            warnings.warn("of the user", stacklevel=1)
        with environments_closed():
            note_open(env)
    assert "close() of OneBuffer must end in order" in str(told[0].message)


def raising() -> None:
    raise RuntimeError("a text of any length: " + "x" * 10_000_000)


def test_the_text_of_an_exception_is_kept_by_its_ends() -> None:
    with pytest.raises(RuntimeError) as raised:
        raising()
    text = describe_exception(raised.value)
    assert len(text) < 30_000
    assert text.startswith("Traceback")
    assert "characters are left out" in text


def test_a_request_to_stop_takes_its_signals_back() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    stop = StopRequest().install()
    try:
        with stop.abandonable():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.received == "SIGTERM"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_processes_that_user_code_forks_handle_signals_as_python_does() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    StopRequest().install()
    try:
        with multiprocessing.get_context("fork").Pool(1) as pool:
            found = pool.apply(_are_of_python)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

    assert found == [True] * 3


def _are_of_python() -> list[bool]:
    return [
        signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        signal.getsignal(signal.SIGTERM) is signal.SIG_DFL,
        signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL,
    ]


class Counted(OneBuffer):
    """Counts how often it is opened and closed; every third member raises."""

    opened = 0
    closed = 0

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault
        Counted.opened += 1

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.fault == "step" and self.state[0] == 3 and Counted.opened % 3:
            raise RuntimeError("a fault of the simulator")
        return super().step(action)

    def close(self) -> None:
        Counted.closed += 1
        if self.fault == "close":
            raise RuntimeError("it is closed already")
        if self.fault == "hang":
            time.sleep(1000)


gymnasium.register("TestCounted-v0", f"{__name__}:Counted")


@pytest.mark.parametrize("fault", ["", "step", "close", "hang"])
def test_environments_are_closed_as_often_as_opened(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esengine.user_code.opened.CLOSE_S", 0.1)
    monkeypatch.setattr("esengine.user_code.opened._AGAIN_S", 0.1)
    monkeypatch.setattr("esengine.user_code.opened._faulty", {})
    monkeypatch.setattr(Counted, "opened", 0)
    monkeypatch.setattr(Counted, "closed", 0)
    settings = ("--env-id", "TestCounted-v0", "--env-arg", f"fault={fault}")
    budget = ("--generations", "1", "--final-episodes", "2", "--ranks", "1", "--quiet")
    run = str(tmp_path / "run")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        size = ("--population-size", "4", "--max-failed-fraction", "1")
        assert main(["train", "openai-es", *settings, *size, *budget, "--run-dir", run]) == 0
        assert main(["evaluate", run, "--episodes", "2", "--ranks", "1"]) in (0, 1)

    assert Counted.opened == Counted.closed > 2
    told = [
        str(warning.message) for warning in caught if "must end in order" in str(warning.message)
    ]
    assert bool(told) == (fault in ("close", "hang"))


def test_a_command_that_fails_closes_its_environments(tmp_path: Path) -> None:
    before = (Counted.opened, Counted.closed)
    arguments = ("--env-id", "TestCounted-v0", "--expert", "tests.support.worlds:failing")
    out = ("--out", str(tmp_path / "demos.npz"), "--ranks", "1")
    assert main(["collect", *arguments, *out]) == 2
    assert Counted.opened - before[0] == Counted.closed - before[1] > 0


def test_a_forked_child_of_user_code_ends_where_it_comes_back() -> None:
    parent = os.getpid()

    def cost(x: Any) -> float:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        elif x[0] > 0:
            raise RuntimeError("in the child")
        return float((x * x).sum())

    result = minimize(cost, dimension=2, generations=2, population_size=4)
    assert os.getpid() == parent
    assert result.generations == 2
