"""Settings of what a run optimises: a policy for an environment, or a plain function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esengine.checks import named_values
from esengine.errors import UserError


@dataclass(frozen=True)
class TaskSettings:
    """What is optimised: a policy for an environment, or a plain function."""

    env_id: str | None = None
    """Gymnasium environment to train a policy for, as EnvId or module:EnvId."""
    env_arg: tuple[str, ...] = ()
    """Arguments of the environment, each name=value; a value is JSON or a plain word."""
    objective: str | None = None
    """Plain function to optimise instead of an environment, as module:function."""
    minimize: bool = False
    """The objective is a cost: lower is better."""

    def check(self) -> None:
        """Raises UserError unless there is one task."""
        if (self.env_id is None) == (self.objective is None):
            given = "both" if self.env_id else "none"
            raise UserError(
                f"a run needs either --env-id or --objective, got {given}; for example --env-id "
                f"CartPole-v1"
            )

    def env_arguments(self) -> dict[str, Any]:
        """The keyword arguments of the environment. Raises UserError for a text that is not
        name=value.
        """
        return env_arguments(self.env_arg)


def env_arguments(texts: tuple[str, ...]) -> dict[str, Any]:
    """The keyword arguments of an environment from texts name=value. Raises UserError for any other
    text.
    """
    return named_values("--env-arg", texts, "forward_reward_weight=2.0")
