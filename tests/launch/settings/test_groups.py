"""The shared settings in groups: every group is a part of the flags, and each field is in one."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

from esengine.launch.settings.config import GROUPS, TrainSettings
from esengine.launch.settings.groups import BudgetSettings, StartSettings
from esengine.launch.settings.parse_train import ResumeSettings, parse_resume, resume_changes


def test_each_shared_setting_belongs_to_one_group() -> None:
    names = [field.name for group in GROUPS.values() for field in fields(group)]
    assert len(names) == len(set(names))
    assert set(names) == {field.name for field in fields(TrainSettings)}


def test_the_help_has_a_heading_for_each_group_and_the_defaults_of_the_method() -> None:
    command = [sys.executable, "-m", "esengine", "train", "behavior-cloning", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name in ("method", *GROUPS):
        assert f"{name.replace('_', '-')} options" in text
    assert "(default: 200)" in text  # generations of this method


def test_resume_takes_the_budget_and_the_settings_of_a_start() -> None:
    taken = {field.name for field in fields(ResumeSettings)} - {"run"}
    assert taken == {
        field.name for group in (BudgetSettings, StartSettings) for field in fields(group)
    }
    words = ["run", "--generations", "7", "--ranks", "2", "--quiet"]
    assert resume_changes(parse_resume(words)) == {"generations": 7, "ranks": 2}
