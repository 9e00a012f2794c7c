"""Runs of the imitation methods and of searches that begin with what they made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esengine.demonstrations import Demonstrations, save_demonstrations
from esengine.environments import ActionSpec, EnvironmentSpec
from esengine.errors import Interrupted, UserError, pip_install
from esengine.launch.cli import main
from esengine.launch.demonstrations.collecting import CollectSettings, collect_on
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.training.imitation import load_given, recording_problem
from esengine.launch.training.run import completed
from esengine.launch.training.starting_sigma import StartingSigma
from esengine.policies import Policy, PolicySpec, save_policy
from esengine.pool import Pool
from esengine.ranks import StopRequest, World
from tests.conftest import SUPPORT, Run
from tests.support.imitation import METHODS, ROUNDS
from tests.support.runs import rows, same_run
from tests.support.words import words


@pytest.fixture(autouse=True)
def _support(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(SUPPORT))
    monkeypatch.chdir(tmp_path)
    save_demonstrations("demos.npz", demonstrations())


def demonstrations() -> Demonstrations:
    settings = CollectSettings(
        expert="teachers:pull", env_id="Pendulum-v1", episodes=5, max_episode_steps=40
    )
    collected = collect_on(World(), settings)
    assert collected is not None
    return collected


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_equals_the_run_that_never_stopped(tmp_path: Path, method: str) -> None:
    arguments = (*METHODS[method], "--ranks", "1", "--run-dir")
    assert main([*arguments, "straight", "--generations", "4"]) == 0
    assert main([*arguments, "parts", "--generations", "2"]) == 0
    (tmp_path / "demos.npz").unlink()
    shutil.move("parts", "moved")  # nothing that it needs lies elsewhere
    assert main(["resume", "moved", "--generations", "4", "--trust-modules", "--quiet"]) == 0
    same_run(tmp_path / "straight", tmp_path / "moved")
    assert main(["evaluate", "moved", "--ranks", "1", "--episodes", "2"]) == 0


def test_a_round_that_is_interrupted_is_kept_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = (*METHODS["dagger"], "--ranks", "1", "--generations", "3", "--run-dir")
    assert main([*arguments, "straight"]) == 0
    evaluate, calls = Pool.evaluate, 0

    def interrupting(pool: Pool, *rest: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if (
            calls == 4
        ):  # the second round's validation: its episodes are recorded, and its policy is fitted
            raise Interrupted("SIGUSR1")
        return evaluate(pool, *rest, **named)

    monkeypatch.setattr(Pool, "evaluate", interrupting)
    assert main([*arguments, "parts"]) == 75
    assert [path.name for path in (tmp_path / "parts" / "checkpoints").iterdir()] == [
        "000001+000002"
    ]
    assert main(["resume", "parts", "--trust-modules", "--quiet"]) == 0
    same_run(tmp_path / "straight", tmp_path / "parts")


def test_epochs_look_for_signals(tmp_path: Path) -> None:
    class Stopped(StopRequest):
        received = None

        def __bool__(self) -> bool:
            self.received = "SIGUSR1"
            return True

    from esengine.launch.training.commands import train_command

    assert (
        train_command(
            [*METHODS["mixture"][1:], "--ranks", "1", "--run-dir", "run", "--generations", "4"],
            Stopped(),
        )
        == 75
    )


def test_the_environment_is_that_of_the_demonstrations_and_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cloning = words("train behavior-cloning --ranks 1 --demonstrations demos.npz --run-dir run")
    assert main([*cloning, "--env-id", "CartPole-v1"]) == 2
    assert (
        "demos.npz: demonstrations must be of one environment, got Pendulum-v1 beside"
        in capsys.readouterr().err
    )
    assert main([*cloning, "--env-arg", "g=5"]) == 2
    assert "--env-arg belongs to --env-id, got none; name it, too" in capsys.readouterr().err
    assert main([*cloning, "--loss", "categorical"]) == 2
    assert (
        "--loss must be mse, gaussian or mixture for box actions, got categorical"
        in capsys.readouterr().err
    )
    assert main([*cloning, "--survival-bonus", "1"]) == 2
    assert (
        "--survival-bonus has no meaning for behavior-cloning, got 1.0; drop it"
        in capsys.readouterr().err
    )
    assert main(["train", "dagger", "--env-id", "Pendulum-v1", "--ranks", "1"]) == 2
    assert "dagger needs --expert, --planner or --rules, got none" in capsys.readouterr().err
    assert main([*cloning, "--trajectories", "9"]) == 2
    assert "must lie between 1 and the 5 that there are, got 9" in capsys.readouterr().err


def test_arguments_of_demonstrations_come_back_as_what_they_were() -> None:
    arguments = {"sutton_barto_reward": True, "render_mode": None}
    given = tuple(f"{name}={value}" for name, value in arguments.items())
    settings = CollectSettings(
        expert="teachers:lean", env_id="CartPole-v1", env_arg=given, episodes=1
    )
    collected = collect_on(World(), settings)
    assert collected is not None
    save_demonstrations("booleans.npz", collected)

    config = completed(parse_train([*words("behavior-cloning --demonstrations booleans.npz")]))
    assert config.train.env_arguments() == arguments
    assert load_given(config).environment.arguments == arguments


def test_a_policy_can_be_the_expert(tmp_path: Path) -> None:
    save_policy(tmp_path / "teacher.safetensors", slow_policy())
    flags = (
        *words("--expert teacher.safetensors --env-id Pendulum-v1"),
        *ROUNDS,
        *words("--ranks 1 --generations 1"),
    )
    assert main(["train", "dagger", *flags, "--run-dir", "run"]) == 0
    assert (tmp_path / "run" / "expert.safetensors").read_bytes() == (
        tmp_path / "teacher.safetensors"
    ).read_bytes()
    with pytest.raises(UserError, match="--expert must fit Acrobot-v1, which has 6 observations"):
        recording_problem(parse_train(["dagger", *flags, "--env-id", "Acrobot-v1"]))


def slow_policy() -> Policy:
    spec = PolicySpec(3, ActionSpec("box", (1,), (-2.0,), (2.0,), (1,)))
    row = np.array([0.0, -8.0, -1.0, 0.0], np.float32)
    scaling = (np.zeros(3, np.float32), np.ones(3, np.float32))
    return Policy(spec, row, *scaling, EnvironmentSpec("Pendulum-v1"))


@pytest.mark.parametrize("method", ["truncation-es", "openai-es"])
def test_a_search_from_a_policy_keeps_its_skill_and_resumes_exactly(
    tmp_path: Path, method: str
) -> None:
    save_policy(tmp_path / "policy.safetensors", slow_policy())
    flags = words(
        "--env-id Pendulum-v1 --init-policy policy.safetensors --sigma 8 --population-size 16"
    )
    arguments = (
        "train",
        method,
        *flags,
        *words("--anchor 5 --eval-every 2 --ranks 1 --quiet --run-dir"),
    )
    assert main([*arguments, "straight", "--generations", "4"]) == 0
    assert main([*arguments, "parts", "--generations", "2"]) == 0
    assert main(["resume", "parts", "--generations", "4", "--quiet"]) == 0
    same_run(tmp_path / "straight", tmp_path / "parts")
    first = rows(tmp_path / "straight")[0]
    assert 0 < first["sigma"] < 8
    assert np.log2(first["sigma"] / 8) % 1 == 0
    returns = [
        row["episode_return_best"]
        for row in rows(tmp_path / "straight")
        if "episode_return_best" in row
    ]
    begun = json.loads((tmp_path / "straight" / "done.json").read_text())
    assert returns == sorted(returns)
    assert (
        begun["env_steps"] > first["env_steps"] > 16 * 200
    )  # the members that the step size was judged by count


def test_the_step_size_is_the_largest_that_keeps_the_skill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of returns that fall linearly from the policy's 10 to a cold start's 0 at sigma 8, 0.8 is
    left at 1 and not at 2.
    """

    seen = []

    def mean(self: StartingSigma, pool: Any, around: Any, sigma: float) -> float:
        seen.append(sigma)
        return 10 - 10 * sigma / 8

    monkeypatch.setattr(StartingSigma, "_mean", mean)
    save_policy(tmp_path / "policy.safetensors", slow_policy())
    flags = words("--init-policy policy.safetensors --sigma 8 --generations 1 --ranks 1 --quiet")
    assert main(["train", "openai-es", "--env-id", "Pendulum-v1", *flags, "--run-dir", "run"]) == 0
    assert rows(tmp_path / "run")[0]["sigma"] == 1
    assert seen == [0, 8, 8, 4, 2, 1]


def test_rules_shield_a_policy_in_evaluation_and_in_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_policy(tmp_path / "policy.safetensors", slow_policy())
    evaluation = ("evaluate", "policy.safetensors", "--ranks", "1", "--episodes", "3")
    assert main([*evaluation, "--rules", "teachers"]) == 0
    shielded = capsys.readouterr().out
    assert main([*evaluation]) == 0
    assert capsys.readouterr().out != shielded
    search = words(
        "train openai-es --env-id Pendulum-v1 --population-size 4 --generations 1 --quiet"
    )
    assert main([*search, "--ranks", "1", "--rules", "teachers", "--run-dir", "run"]) == 0
    assert main([*search, "--ranks", "1", "--run-dir", "plain"]) == 0
    assert rows(tmp_path / "run")[0]["fitness_mean"] != rows(tmp_path / "plain")[0]["fitness_mean"]
    assert (
        main([*search, *words("--ranks 1 --rules teachers --env-backend compiled --run-dir no")])
        == 2
    )


def test_without_torch_a_sentence_comes_before_a_folder(
    esengine_here: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("esengine.launch.settings.methods.find_spec", lambda name: None)
    result = esengine_here("train", "ppo", "--env-id", "CartPole-v1", "--run-dir", "run")
    assert result.returncode == 2
    assert f"ppo needs PyTorch, which is not installed; {pip_install('torch')}" in result.stderr
    assert not (tmp_path / "run").exists()
