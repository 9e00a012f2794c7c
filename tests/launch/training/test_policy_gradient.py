"""Runs of the policy gradient."""

from __future__ import annotations

from pathlib import Path

import pytest

from esengine.launch.cli import main
from tests.support.learners import SMALL, reward_file
from tests.support.runs import rows
from tests.support.words import words


def test_a_learned_reward_takes_the_place_of_the_environments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reward = ("--reward", str(reward_file(tmp_path)))
    command = [
        *words("train ppo --env-id CartPole-v1"),
        *SMALL,
        *words("--quiet --ranks 1 --generations 2 --run-dir"),
    ]
    assert main([*command, "own"]) == 0
    assert main([*command, "learned", *reward]) == 0
    (own, _), (learned, _) = rows(tmp_path / "own"), rows(tmp_path / "learned")
    assert (
        own["return_recorded"] == learned["return_recorded"]
    )  # of the environment, whatever is learned from
    assert own["policy_loss"] != learned["policy_loss"]
    assert main(["evaluate", "learned", "--ranks", "1", "--episodes", "2"]) == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "ppo needs --env-id, got none"),
        (
            ("--env-id", "CartPole-v1", "--survival-bonus", "1"),
            "--survival-bonus has no meaning for ppo, got 1.0; drop it",
        ),
        (
            ("--env-id", "CartPole-v1", "--learning-rate", "0"),
            "--learning-rate must be positive, got 0.0",
        ),
    ],
)
def test_what_cannot_be_is_one_sentence(
    capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    assert main(["train", "ppo", "--ranks", "1", *flags]) == 2
    assert message in capsys.readouterr().err
