"""The table of methods: what each family reads of the shared settings."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from esengine.errors import UserError
from esengine.launch.settings.config import RunConfig
from esengine.launch.settings.methods import METHODS, STRATEGIES, family_of, settings_of
from esengine.launch.settings.train_settings import GROUPS, TrainSettings


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_that_a_method_reads_exists(method: str) -> None:
    for group, names in family_of(method).groups.items():
        assert set(names or ()) <= {field.name for field in fields(GROUPS[group])}


def test_every_shared_setting_belongs_to_one_group() -> None:
    grouped = [field.name for group in GROUPS.values() for field in fields(group)]
    assert sorted(grouped) == sorted(field.name for field in fields(TrainSettings))


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("dagger", {"member_statistic": "min"}),
        ("ppo", {"lower_bound": 0.0}),
        ("dart", {"max_failed_fraction": 0.1}),
        ("gail", {"episode_cap": 20}),
        ("behavior-cloning", {"potential_discount": 0.9}),
    ],
)
def test_a_setting_that_a_method_does_not_read_is_refused(
    method: str, changes: dict[str, Any]
) -> None:
    config = RunConfig(method, replace(TrainSettings(), **changes), settings_of(method)())
    with pytest.raises(UserError, match=f"has no meaning for {method}"):
        config.refuse_unread()
    for strategy in STRATEGIES:
        replace(config, method=strategy, search=settings_of(strategy)()).refuse_unread()
