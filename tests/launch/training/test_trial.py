"""The trial before a run: one sentence, in the words of who wrote the environment or the
objective, and a run that says what will not hold.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.cli import main
from esengine.launch.doctor import check_environment
from esengine.launch.training.trial import apart
from esengine.simulators.trial import try_environment
from tests.conftest import SUPPORT
from tests.support.words import words

SEARCH = words("train truncation-es --population-size 8 --generations 1 --ranks 1 --quiet")


@pytest.fixture(autouse=True)
def _support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.chdir(tmp_path)


def odd(form: str, env_id: str = "odd:Odd-v0") -> EnvironmentSpec:
    return EnvironmentSpec(env_id, {"form": form} if form else {})


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("old reset", "must return two values, observation and info, got an array of shape (2,)"),
        ("old step", "must return five values, observation, reward, terminated, truncated and"),
        ("no reward", "the reward of odd:Odd-v0 must be one number, got None"),
        ("two rewards", "must be one number, got an array of shape (2,) and dtype float64"),
        ("two ends", "must return True or False for terminated, got an array of shape (2,)"),
        ("objects", "must be numbers of the dtype of Box(-9.0, 9.0, (2,), float32), got an array"),
        ("complex", "and dtype complex128"),
        ("dictionary", "got a dict: {'x': array"),
        ("text", "got a str: north"),
        ("small seeds", "must take seeds below 2^31, but raised for 2147483646: the seed is too"),
    ],
)
def test_a_wrong_interface_is_refused_in_one_sentence(form: str, sentence: str) -> None:
    with pytest.raises(UserError) as raised:
        try_environment(odd(form))
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("form", "fresh_env", "sentence"),
    [
        ("random", False, "does not decide an episode (it draws from Python's module random)"),
        ("numpy.random", True, "does not decide an episode (it draws from numpy.random)"),
        ("ignores the seed", False, "does not decide an episode, so results differ between runs"),
        ("keeps", False, "keeps something of earlier episodes, so the result depends on the num"),
        ("no end", False, "has no limit of steps, and its first "),
    ],
)
def test_what_will_not_hold_is_said(form: str, fresh_env: bool, sentence: str) -> None:
    (remark,) = try_environment(odd(form), fresh_env=fresh_env)
    assert sentence in remark


@pytest.mark.parametrize("form", ["", "array of one"])
def test_nothing_is_said_of_others(form: str) -> None:
    assert try_environment(odd(form)) == []
    assert try_environment(odd("keeps"), fresh_env=True) == []
    assert try_environment(odd("no end"), max_episode_steps=50) == []
    assert try_environment(odd("no end", "odd:Limited-v0")) == []
    assert try_environment(odd("", "odd:NoOptions-v0")) == []
    assert try_environment(EnvironmentSpec("CartPole-v1")) == []


def test_a_run_is_refused_before_it_has_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SEARCH, "--env-id", "odd:NoSeed-v0", "--run-dir", "run"]) == 2
    error = capsys.readouterr().err
    assert "must take seed and options, as reset(*, seed=None, options=None), but raised" in error
    assert not Path("run").exists()


def test_a_run_says_once_what_will_not_hold_and_keeps_it() -> None:
    arguments = words("--env-id odd:Odd-v0 --env-arg form=keeps --final-episodes 1 --run-dir run")
    with pytest.warns(UserWarning, match="keeps something of earlier episodes") as said:
        status = main([*SEARCH, *arguments])
    assert status == 0
    sentences = [str(warning.message) for warning in said if "earlier" in str(warning.message)]
    assert json.loads(Path("run/config.json").read_text())["remarks"] == sentences
    assert len(sentences) == 1


def test_collect_tries_too_and_its_environment_needs_no_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    collect = words("collect --expert teachers:still --episodes 1 --ranks 1 --quiet --env-id")
    assert main([*collect, "odd:NoOptions-v0"]) == 0
    assert main([*collect, "odd:Odd-v0", "--env-arg", "form=old step"]) == 2
    assert "must return five values" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("none", "None"),
        ("text", "a str: 3.5"),
        ("pair", "a tuple of 2: (1.0, {})"),
        ("imaginary", "a complex: 1j"),
        ("several", "an array of shape (3,) and dtype float64"),
        ("of_two", "missing 1 required positional argument: 'y'"),
        ("one", ""),
    ],
)
def test_an_objective_must_return_one_number(
    capsys: pytest.CaptureFixture[str], name: str, got: str
) -> None:
    search = words("train cma-es --dimension 2 --generations 1 --ranks 1 --quiet --run-dir run")
    assert main([*search, "--objective", f"odd:{name}"]) == (2 if got else 0)
    assert got in capsys.readouterr().err


def test_a_trial_that_crashes_or_hangs_says_nothing() -> None:
    before = time.monotonic()
    assert apart(lambda: os._exit(3), 10) == []
    assert apart(lambda: [str(Event().wait(100))], 0.2) == []
    assert time.monotonic() - before < 10
    assert apart(lambda: ["said"], 10) == ["said"]


def test_a_trial_that_takes_too_long_closes_what_it_has_opened() -> None:
    def work() -> list[str]:
        try:
            while True:
                with suppress(BaseException):  # as a simulator's binding may do
                    sum(range(100))  # so briefly that some alarms come outside
        finally:
            Path("closed").touch()

    assert apart(work, 0.2, 20) == []
    assert Path("closed").exists()


@pytest.mark.parametrize(
    ("form", "advice"),
    [
        ("keeps", "train with --fresh-env"),
        ("ignores the seed", "no two runs give the same result"),
        ("no end", "has no limit of steps"),
        ("old step", "must return five values"),
    ],
)
def test_the_doctor_compares_resets_and_processes(
    monkeypatch: pytest.MonkeyPatch, form: str, advice: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{SUPPORT}:{os.environ.get('PYTHONPATH', '')}")
    given = [finding.advice for finding in check_environment(odd(form)) if finding.advice]
    assert len(given) == 1
    assert advice in given[0]
