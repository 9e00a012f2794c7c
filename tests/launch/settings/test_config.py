"""Shared settings: what does not go together is refused in one sentence, and what names a module is
known.
"""

from __future__ import annotations

from typing import Any

import pytest

from esengine.algorithms import OpenAIESSettings
from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.parse_train import parse_train
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.settings.train_settings import TrainSettings
from tests.support.words import words

ENV: dict[str, Any] = {"env_id": "CartPole-v1"}
OBJECTIVE: dict[str, Any] = {"objective": "worlds:sphere", "dimension": 3}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (ENV | {"member_quantile": 1.5}, "--member-quantile must lie between 0 and 1, got 1.5"),
        (ENV | {"episode_cap": 0}, "--episode-cap must be at least 1, got 0"),
        (OBJECTIVE | {"episode_cap": 5}, "--episode-cap belongs to --env-id, got --objective"),
        (OBJECTIVE | {"novelty": "ns"}, "--novelty belongs to --env-id, got --objective"),
        (
            ENV | {"novelty": "ns", "env_backend": "vectorized"},
            "--novelty belongs to --env-backend auto, compiled or gymnasium, got vectorized; "
            "use auto",
        ),
        (
            ENV | {"survival_bonus": 1.0, "member_statistic": "min", "env_backend": "vectorized"},
            "--survival-bonus must be used with --member-statistic mean in --env-backend "
            "vectorized, got min",
        ),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        TrainSettings(**settings).check()


def test_a_number_keeps_its_value_as_a_float_and_what_is_none_is_named() -> None:
    assert settings_from(TrainSettings, {"anchor": 10**400}).anchor == float("inf")
    with pytest.raises(UserError, match="--anchor must not be negative, got nan"):
        settings_from(TrainSettings, ENV | {"anchor": float("nan")}).check()


def test_every_name_whose_module_is_imported_is_known() -> None:
    train = TrainSettings(env_id="mine:Walker-v0", novelty="ns", behavior="mine:position")
    named = RunConfig("mine:Search", train, OpenAIESSettings()).modules
    assert sorted(named) == ["mine:Search", "mine:Walker-v0", "mine:position"]
    assert RunConfig("openai-es", TrainSettings(**ENV), OpenAIESSettings()).modules == ()


def test_a_flag_of_several_values_may_be_given_several_times() -> None:
    once = parse_train(
        list(
            words(
                "pycma --objective m:f --dimension 3 --option tolx=1 tolfun=2 --lower-bound -1 -2 3"
            )
        )
    )
    twice = words("--option tolx=1 --lower-bound -1 -2 3 --option=tolfun=2 --dimension 3")
    assert parse_train(["pycma", "--objective", "m:f", *twice]) == once
    assert parse_train(
        ["ars", "--env-id", "CartPole-v1", "--hidden-sizes", "3", "--hidden_sizes", "4"]
    ).train.hidden_sizes == (3, 4)
