"""The shared settings in groups: every group is a part of the flags, and each field is in one."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import pytest

from esengine.checks import flag_name
from esengine.errors import UserError
from esengine.launch.settings.groups import BudgetSettings, StartSettings
from esengine.launch.settings.help import entries
from esengine.launch.settings.methods import METHODS, family_of, settings_of
from esengine.launch.settings.parse_train import (
    SECTIONS,
    ResumeSettings,
    parse_resume,
    parse_train,
    resume_changes,
    train_help,
)
from esengine.launch.settings.settings_values import settings_from
from esengine.launch.settings.train_settings import GROUPS, TrainSettings


def test_each_shared_setting_belongs_to_one_group() -> None:
    names = [field.name for group in GROUPS.values() for field in fields(group)]
    assert len(names) == len(set(names))
    assert set(names) == {field.name for field in fields(TrainSettings)}


def test_the_help_has_a_heading_for_each_group_and_the_defaults_of_the_method() -> None:
    text = train_help("behavior-cloning", brief=False)
    family = family_of("behavior-cloning")
    for group, kind in GROUPS.items():
        for field in fields(kind):
            shown = re.search(
                rf"^  {flag_name(field.name)}(?![-\w])", text.replace("--[no-]", "--"), re.M
            )
            assert bool(shown) == family.reads(group, field.name), field.name
    assert "(default: 200)" in text  # generations of this method
    assert "--config PATH" in text


def test_each_group_has_a_section_of_the_help() -> None:
    shown = [group for groups in SECTIONS.values() for group in groups]
    assert sorted(shown) == sorted(GROUPS)


def test_the_short_help_has_the_usual_flags_only() -> None:
    text = train_help("openai-es", brief=True)
    assert {"--env-id", "--workers", "--learning-rate", "--run-dir"} < set(text.split())
    assert "--novelty" not in text
    assert text.count("\n") < 90


def test_every_flag_of_every_method_is_described() -> None:
    for method in METHODS:
        for kind in (settings_of(method), *GROUPS.values()):
            assert [entry.name for entry in entries(kind) if not entry.about] == []


@pytest.mark.parametrize(
    ("flag", "ours"),
    [
        ("--total-timesteps", "--max-env-steps"),
        ("--lr", "--learning-rate"),
        ("--n-envs=4", "--workers"),
        ("--popsize", "--population-size"),
        ("--policy-kwargs", "--hidden-sizes"),
        ("--keep-evaluations", "--keep-members"),
    ],
)
def test_a_name_of_another_package_is_answered_with_ours(flag: str, ours: str) -> None:
    with pytest.raises(UserError, match=f"is called {ours} here, got {flag}"):
        parse_train(["openai-es", "--env-id", "CartPole-v1", flag, "8"])


def test_a_budget_replaces_the_default_number_of_generations() -> None:
    usual = TrainSettings(env_id="CartPole-v1")
    assert usual.max_generations == 100
    assert replace(usual, max_env_steps=10).max_generations is None
    assert replace(usual, max_evaluations=10, generations=7).max_generations == 7
    assert TrainSettings(objective="a:b", max_time=1.0).max_generations is None
    used = {"env_steps": 9, "evaluations": 1, "elapsed_s": 0.0}
    assert replace(usual, max_env_steps=10).reason_to_stop(100_000, used) is None


def test_a_resumed_run_keeps_what_is_no_budget() -> None:
    with pytest.raises(UserError, match="keeps its --env-arg, got another; start a new run"):
        parse_resume(["runs/old", "--env-arg", "g=5"])


def test_ranks_is_an_alias_of_workers() -> None:
    words = ["cma-es", "--env-id", "CartPole-v1"]
    assert parse_train([*words, "--ranks", "3"]) == parse_train([*words, "--workers=3"])
    assert settings_from(TrainSettings, {"ranks": 3}).workers == 3
    with pytest.raises(UserError, match="workers must be given once"):
        settings_from(TrainSettings, {"ranks": 3, "workers": 2})


def test_resume_takes_the_budget_and_the_settings_of_a_start() -> None:
    taken = {field.name for field in fields(ResumeSettings)} - {"run"}
    assert taken == {
        field.name for group in (BudgetSettings, StartSettings) for field in fields(group)
    }
    words = ["run", "--generations", "7", "--ranks", "2", "--quiet"]
    assert resume_changes(parse_resume(words)) == {"generations": 7, "workers": 2}


def test_members_with_a_time_out_are_isolated() -> None:
    given = ["--env-id", "Pendulum-v1", "--member-timeout", "2"]
    expert = ["--expert", "worlds:upright"]
    for arguments in (["cma-es", *given], ["dagger", *given, *expert], ["ppo", *given]):
        config = parse_train(arguments)
        assert config.isolates
        assert config.worker_timeout is None
