"""The environment of a Minari dataset is had whole, or the dataset is refused."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import minari
import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.utils import RecordConstructorArgs
from minari.data_collector import EpisodeBuffer

from esengine.demonstrations import load_demonstrations
from esengine.environments import EnvironmentSpec
from esengine.errors import UserError
from esengine.launch.settings.groups import environment_of, flags_of_environment
from esengine.policies import load_policy
from tests.conftest import Run
from tests.support.words import words

LOW: Any = -1.0
HIGH: Any = 1.0
PENDULUM = EnvironmentSpec("Pendulum-v1")
HALF = {"min_action": -1.0, "max_action": 1.0}
DOORS = """
import gymnasium
from gymnasium.envs.classic_control.pendulum import PendulumEnv

class Door(PendulumEnv):
    def __init__(self, heavy=False, **options):
        super().__init__(**options)

gymnasium.register("Door-v0", "doors:Door", max_episode_steps=9)
"""


class Custom(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))


def write(
    env: gymnasium.Env[Any, Any] | None, name: str = "pendulum/own-v0", **options: Any
) -> str:
    """A dataset of three steps; returns its name."""
    made = gymnasium.make("Pendulum-v1") if env is None else env
    made.action_space.seed(0)
    seen, acted = [made.reset(seed=0)[0]], []
    for _ in range(3):
        acted.append(made.action_space.sample())
        seen.append(made.step(acted[-1])[0])
    episode = EpisodeBuffer(
        id=0,
        seed=0,
        observations=np.array(seen),
        actions=np.array(acted),
        rewards=[0.0] * 3,
        terminations=[False] * 3,
        truncations=[False, False, True],
    )
    if env is None:
        options |= {"observation_space": made.observation_space, "action_space": made.action_space}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(name, [episode], env=env, data_format="hdf5", **options)
    return f"minari:{name}"


REBUILT: dict[str, tuple[Callable[[], gymnasium.Env[Any, Any]], str]] = {
    "a limit": (lambda: gymnasium.make("Pendulum-v1", max_episode_steps=5), "5"),
    "a TimeLimit": (lambda: wrappers.TimeLimit(gymnasium.make("Pendulum-v1"), 6), "6"),
    "no limit": (lambda: gymnasium.make("Pendulum-v1", max_episode_steps=-1), "-1"),
    "an argument": (lambda: gymnasium.make("Pendulum-v1", g=5.0), "{'g': 5.0}"),
    "a flat observation": (
        lambda: wrappers.FlattenObservation(gymnasium.make("Pendulum-v1")),
        "Pendulum-v1 in FlattenObservation",
    ),
    "two wrappers": (
        lambda: wrappers.RescaleAction(
            wrappers.FrameStackObservation(gymnasium.make("Pendulum-v1"), 2), LOW, HIGH
        ),
        "Pendulum-v1 in FrameStackObservation in RescaleAction",
    ),
    "what only records": (
        lambda: wrappers.RecordEpisodeStatistics(gymnasium.make("Pendulum-v1")),
        "Pendulum-v1",
    ),
}


@pytest.mark.parametrize("case", REBUILT)
def test_the_environment_is_that_of_the_recording(case: str) -> None:
    make, shown = REBUILT[case]
    made = make()
    found = load_demonstrations([write(made)]).environment
    assert str(found).rstrip("}").endswith(shown.rstrip("}"))
    rebuilt = found.make()
    assert rebuilt.observation_space == made.observation_space
    assert rebuilt.action_space == made.action_space
    limits = [env.spec.max_episode_steps for env in (made, rebuilt) if env.spec is not None]
    assert limits[0] == limits[1]
    flags = flags_of_environment(found)
    assert environment_of(flags["env_id"], flags["env_arg"], flags["env_wrapper"]) == found


REFUSED: dict[str, tuple[Callable[[], gymnasium.Env[Any, Any]], str]] = {
    "a custom wrapper": (
        lambda: Custom(gymnasium.make("Pendulum-v1")),
        r"its wrapper Custom \(.*\) cannot be made again",
    ),
    "a wrapper that remembers": (
        lambda: wrappers.NormalizeObservation(gymnasium.make("Pendulum-v1")),
        r"its wrapper NormalizeObservation \(.*\) cannot be",
    ),
    "a wrapper with a function": (
        lambda: wrappers.TransformReward(gymnasium.make("Pendulum-v1"), lambda reward: reward),
        "it names none",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_environment_that_cannot_be_had_is_refused_unless_another_is_named(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, problem = REFUSED[case]
    name = write(make())
    with pytest.raises(UserError, match=f"must tell its environment, but {problem}.* --env-id"):
        load_demonstrations([name])

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "doors", raising=False)
    (tmp_path / "doors.py").write_text(DOORS)
    given = EnvironmentSpec("doors:Door-v0")
    try:
        if case == "a wrapper that remembers":
            with pytest.raises(UserError, match="its observation space must be that of its env"):
                load_demonstrations([name], environment=given)
        else:
            assert load_demonstrations([name], environment=given).environment == given
    finally:
        gymnasium.registry.pop("Door-v0", None)


def test_a_dataset_without_environment_takes_the_given_one_with_its_wrappers() -> None:
    name = write(None)
    assert load_demonstrations([name], environment=PENDULUM).environment == PENDULUM
    half = EnvironmentSpec("Pendulum-v1", {}, (("RescaleAction", HALF),))
    with pytest.raises(UserError, match=r"its action space .* got Box\(-2.0, 2.0.* --env-wrapper"):
        load_demonstrations([name], environment=half)


def test_policies_are_judged_where_the_dataset_says(recwarn: pytest.WarningsRecorder) -> None:
    name = write(gymnasium.make("Pendulum-v1"), eval_env=gymnasium.make("Pendulum-v1", g=3.0))
    recwarn.clear()
    assert load_demonstrations([name]).environment == EnvironmentSpec("Pendulum-v1", {"g": 3.0})
    assert "for evaluations, Pendulum-v1 {'g': 3.0}, in which" in str(recwarn.list[0].message)


def test_a_package_is_named_once_and_the_datasets_arguments_stand(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "doors", raising=False)
    (tmp_path / "doors.py").write_text(DOORS)
    name = write(gymnasium.make("doors:Door-v0", heavy=True), "door/random-v0")
    try:
        gymnasium.registry.pop("Door-v0")
        del sys.modules["doors"]
        refused = esengine_here("demos", "inspect", name)
        assert refused.returncode == 2
        assert "name the module that registers it: --env-id doors:Door-v0" in refused.stderr

        named = ("--env-id", "doors:Door-v0")
        shown = esengine_here("demos", "inspect", name, *named)
        assert "doors:Door-v0 {'heavy': True" in shown.stdout
        other = ("--env-arg", "heavy=None", "--env-wrapper", "FlattenObservation")
        converted = esengine_here("demos", "convert", name, "--out", "a.npz", *named, *other)
        assert converted.returncode == 0, converted.stderr
        found = load_demonstrations([tmp_path / "a.npz"], trust_modules=True).environment
        assert found.arguments["heavy"] is None
        assert found.wrappers == (("FlattenObservation", {}),)
        assert esengine_here("demos", "inspect", "a.npz").returncode == 2  # names a module
    finally:
        gymnasium.registry.pop("Door-v0", None)


def test_a_clone_acts_in_the_wrappers_of_its_dataset(esengine_here: Run, tmp_path: Path) -> None:
    name = write(wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), LOW, HIGH))
    train = words("train behavior-cloning --generations 1 --final-episodes 1 --ranks 1 --run-dir")
    trained = esengine_here(*train, "run", "--demonstrations", name)
    assert trained.returncode == 0, trained.stderr
    environment = EnvironmentSpec("Pendulum-v1", {}, (("RescaleAction", HALF),))
    policy = load_policy(tmp_path / "run")
    assert policy.environment == environment
    assert policy.spec.action.high == (1.0,)
    recorded = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["train"]
    assert recorded["env_wrapper"] == ['RescaleAction={"min_action": -1.0, "max_action": 1.0}']
    for command in ("evaluate run --episodes 1 --ranks 1", "resume run --generations 2 --ranks 1"):
        assert esengine_here(*words(command)).returncode == 0

    flag = ("--env-wrapper", recorded["env_wrapper"][0])
    start = words("train cma-es --env-id Pendulum-v1 --generations 1 --ranks 1 --init-policy run")
    assert esengine_here(*start, *flag).returncode == 0
    for wrapper, rule in (
        ("NormalizeReward", "a wrapper must be one of AtariPreprocessing"),
        ('FrameStackObservation={"stack_size": 1000000}', "numbers must be at most 1000, got"),
    ):
        refused = esengine_here(*start, "--env-wrapper", wrapper)
        assert refused.returncode == 2
        assert rule in refused.stderr
