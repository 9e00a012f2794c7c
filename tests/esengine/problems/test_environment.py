"""What the master publishes about episodes, and other ranks receive."""

from __future__ import annotations

import pytest

from esengine.errors import UserError
from tests.support.problems import problem_for


def test_an_environment_with_other_spaces_on_a_rank_is_refused() -> None:
    master = problem_for("CartPole-v1")
    problem_for("CartPole-v1").set_context(master.context())
    for env_id in ("Acrobot-v1", "Pendulum-v1"):
        with pytest.raises(UserError, match=f"^{env_id} must have the same spaces on all ranks"):
            problem_for(env_id).set_context(master.context())
