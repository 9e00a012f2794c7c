"""What the master publishes about episodes, and other ranks receive."""

from __future__ import annotations

from typing import Any

import gymnasium
import pytest

from esengine.errors import UserError
from tests.support.problems import problem_for


def test_an_environment_with_other_spaces_on_a_rank_is_refused() -> None:
    master = problem_for("CartPole-v1")
    problem_for("CartPole-v1").set_context(master.context())
    for env_id in ("Acrobot-v1", "Pendulum-v1"):
        with pytest.raises(UserError, match=f"^{env_id} must have the same spaces on all ranks"):
            problem_for(env_id).set_context(master.context())


def test_an_error_without_words_is_named_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(**arguments: Any) -> gymnasium.Env[Any, Any]:
        raise AssertionError

    spec = gymnasium.envs.registration.EnvSpec("Wordless-v0", make)
    monkeypatch.setitem(gymnasium.registry, "Wordless-v0", spec)
    place = r"AssertionError: raise AssertionError, at .*test_environment\.py:\d+$"
    with pytest.raises(UserError, match=place):
        problem_for("Wordless-v0")
